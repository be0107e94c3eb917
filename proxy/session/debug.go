package session

import "github.com/understudy/understudy/proxy/command"

// harmlessDebug are the subcommands of DEBUG that only look at something, and give one reply. The others can stop the
// master, change it, or (PROTOCOL) answer in ways that would bring a shared connection out of step.
var harmlessDebug = map[string]bool{
	"HELP": true, "OBJECT": true, "SDSLEN": true, "ZIPLIST": true, "LISTPACK": true, "HTSTATS": true, "HTSTATS-KEY": true,
	"DIGEST": true, "DIGEST-VALUE": true, "STRUCTSIZE": true,
}

// maySendDebug reports whether a request is one of DEBUG that the configuration lets through.
func (s *Session) maySendDebug(cmd *command.Command, args [][]byte) bool {
	return s.env.Config.AllowDebug && cmd.Name == "DEBUG" && len(args) > 1 && harmlessDebug[command.Word(args[1])]
}
