package topology

import (
	"maps"
	"slices"
)

// step lets a process do what it does all the time.
func (w *promiseWorld) step(p *simProcess) {
	if p.wired {
		w.join(p)
	}
	if p.sess != nil && !p.sess.over && p.wired {
		w.heartbeat(p)
		w.stand(p)
		if w.lowest(p) && w.rng.IntN(4) == 0 {
			w.oversee(p)
		}
	}
	if w.leads(p) && w.rng.IntN(3) == 0 {
		w.update(p)
	}
	w.ask(p)
}

func (w *promiseWorld) join(p *simProcess) {
	if p.sess != nil && !p.sess.over || w.members[p.id] != nil {
		return
	}
	p.takeover = nil
	p.gone = map[string]absence{}
	p.sess = &simSess{owner: p, heard: w.now}
	w.members[p.id] = p.sess
	version, registered := w.registry[p.id]
	if registered && !p.enlisted && w.broken != reborn {
		p.ledger.inherit(p.started.Add(simSession))
	}
	if registered {
		version++
	}
	w.registry[p.id] = version
	p.enlisted = true
	w.note("%s joins", p.id)
}

func (w *promiseWorld) heartbeat(p *simProcess) {
	turn, sent := p.ledger.sending(), w.clock(p)
	p.sess.heard = w.now
	if p.known.Version != w.state.Version {
		p.known = w.state
		return // the next one confirms it
	}
	if w.rng.IntN(5) > 0 { // or else its answer is lost
		p.ledger.confirm(sent, turn)
	}
}

func (w *promiseWorld) lowest(p *simProcess) bool {
	return p.sess != nil && len(w.candidates) > 0 && w.candidates[0] == p.sess
}

func (w *promiseWorld) stand(p *simProcess) {
	if slices.Contains(w.candidates, p.sess) || !p.known.State.mayLead(p.id, p.id+":1") && len(w.candidates) > 0 {
		return
	}
	w.candidates = append(w.candidates, p.sess)
}

// right is session.right.
func (w *promiseWorld) right(p *simProcess, is Snapshot) right {
	switch {
	case is.State == nil || len(is.State.Electors) == 0:
		return asAnybody
	case is.State.mayLead(p.id, p.id+":1"):
		return asElector
	case p.takeover != nil && p.takeover.version == is.Version:
		return asSuccessor
	case w.broken == anybodyLeads:
		return asElector
	}
	return noRight
}

// oversee is session.lead.
func (w *promiseWorld) oversee(p *simProcess) {
	if r := w.right(p, p.known); r == asAnybody || r == asElector {
		clear(p.gone)
		return
	}
	now := w.clock(p)
	proof := map[string]int32{}
	for _, e := range p.known.State.Electors {
		version, registered := w.registry[e.ID]
		if !registered {
			version = -1
		}
		if w.members[e.ID] != nil {
			delete(p.gone, e.ID)
			w.note("%s lets %s lead", p.id, e.ID)
			p.takeover = nil
			w.candidates = slices.DeleteFunc(w.candidates, func(c *simSess) bool { return c == p.sess })
			return
		}
		if known, found := p.gone[e.ID]; !found || known.registration != version {
			p.gone[e.ID] = absence{version, now}
		}
		if a := p.gone[e.ID]; a.registration >= 0 && now.Sub(a.since) < e.Limit+e.Limit/20 && w.broken != impatient {
			return
		}
		proof[e.ID] = version
	}
	if p.takeover == nil || p.takeover.version != p.known.Version {
		w.note("%s takes over from version %d", p.id, p.known.Version)
		p.takeover = &simTakeover{p.known.Version, proof}
	}
}

// leads is ZooKeeper.Leading.
func (w *promiseWorld) leads(p *simProcess) bool {
	now := w.clock(p)
	r := w.right(p, p.known)
	contact := p.ledger.touched()
	return p.up && w.lowest(p) && !p.sess.over && !contact.IsZero() && now.Sub(contact) < simLease && r != noRight &&
		(p.ledger.free(now, r == asElector) || w.broken == forgetful)
}

// update begins to replace the State: with other electors, or only for a change of health.
func (w *promiseWorld) update(p *simProcess) {
	r := w.right(p, p.known)
	if p.ledger.updating > 0 || !p.ledger.begin(w.clock(p), r == asElector) && w.broken != forgetful {
		return
	}
	if w.broken == forgetful && p.ledger.updating == 0 {
		p.ledger.updating++
	}
	u := &simUpdate{by: p, sess: p.sess, version: p.known.Version, electors: slices.Clone(p.known.State.Electors)}
	switch {
	case r == asSuccessor:
		u.proof, u.electors = p.takeover.proof, []Elector{p.ledger.self}
	case w.rng.IntN(2) == 0:
		u.electors = nil
		for _, id := range slices.Sorted(maps.Keys(w.members)) {
			u.electors = append(u.electors, Elector{ID: id, Addr: id + ":1", Limit: simLimit})
		}
	}
	w.updates = append(w.updates, u)
	w.note("%s replaces version %d", p.id, u.version)
}

// ask is asker.ask.
func (w *promiseWorld) ask(p *simProcess) {
	now := w.clock(p)
	contact := p.ledger.touched()
	if contact.IsZero() || now.Sub(contact) < simLease/2 || p.known.State == nil || len(p.known.State.Electors) == 0 {
		return
	}
	p.promises.about(p.known)
	for _, e := range p.known.State.Electors {
		if e.ID != p.id {
			w.requests = append(w.requests, &simRequest{by: p, to: e.ID, sent: now, r: PromiseRequest{ID: p.id, Version: p.known.Version,
				Epoch: p.known.State.Epoch, Duration: simLease}})
		}
	}
	w.conclude(p)
}

// conclude is asker.conclude.
func (w *promiseWorld) conclude(p *simProcess) {
	now := w.clock(p)
	if w.broken == anyAnswer {
		for _, e := range p.known.State.Electors {
			p.promises.take(p.known.Version, e.ID, now, simLease)
		}
	}
	own := promise{now, simLease}
	f := p.promises.failsafe(p.known.State.Electors, p.id, own, now.Add(simLimit-now.Sub(p.ledger.touched())))
	if !f.holds(now) {
		return
	}
	if w.broken != unpledged && p.ledger.pledge(now, simLease) != nil {
		return
	}
	if p.failsafe == nil {
		w.note("%s writes under version %d: %v", p.id, f.version, f.by)
	}
	p.failsafe = f
	w.writing++
}
