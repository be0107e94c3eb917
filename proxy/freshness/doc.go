// Package freshness decides whether a replica may answer a read, so that every read sees the writes that were answered
// before it. It is pure: it knows no sockets, sessions or nodes, only numbers that others tell it.
//
// Time is counted in samples. A sample is a question to the master: how far has your history come? Sample n is begun
// ([Samples.Begin]) before it is sent, and answered with an offset. A replica whose own offset has reached that of
// sample n is fresh as of n: whatever was answered to a client before sample n was begun is in its data.
//
//	write answered           -> its keys are stamped with the number of the next sample   ([Loop.Answered])
//	something else observed  -> the session's floor is the number of the next sample      ([Tracker.Next])
//	read of a key            -> a replica that is fresh as of the key's stamp and the session's floor ([Want.Allows])
//
// A [Tracker] belongs to a process. Its loops stamp and ask without locks; one of them takes the samples ([Samples]).
// Numbers only grow, also over a change of master. What a change voids is how fresh the replicas are: each begins anew
// and serves nothing until it has reached a sample of the new master ([Tracker.Enroll]).
//
// docs/freshness.md tells why the rules are as they are.
package freshness
