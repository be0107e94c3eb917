package topology

const frozenVariable = "TOPOLOGY_FREEZE_A_MEMBER"

func beFrozen() {}
