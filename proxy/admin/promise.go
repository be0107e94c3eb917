package admin

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/understudy/understudy/resp"
	"github.com/understudy/understudy/topology"
)

// Promise implements session.Admin: PROXY PROMISE identity id version epoch milliseconds, of the member with that id. The
// reply is +PROMISED and this member's id, because another one may answer at an address that was this one's, or
// -NOPROMISE, this member's id, and why not. There is none for those who do not know the cluster's identity: they are not told that there is
// such a command.
func (a *Admin) Promise(args [][]byte) (reply []byte) {
	if len(args) != 7 || !strings.EqualFold(string(args[1]), "PROMISE") {
		return nil
	}
	version, versionErr := strconv.ParseInt(string(args[4]), 10, 64)
	epoch, epochErr := strconv.ParseUint(string(args[5]), 10, 64)
	ms, msErr := strconv.ParseUint(string(args[6]), 10, 31)
	if errors.Join(versionErr, epochErr, msErr) != nil {
		return nil
	}
	err := a.cluster.Promise(topology.PromiseRequest{
		Identity: string(args[2]), ID: string(args[3]), Version: version, Epoch: epoch,
		Duration: time.Duration(ms) * time.Millisecond,
	})
	switch {
	case errors.Is(err, topology.ErrStranger):
		return nil
	case err != nil:
		return resp.AppendError(nil, "NOPROMISE "+oneLine(a.who.ID+" "+err.Error()))
	}
	return resp.AppendSimple(nil, "PROMISED "+oneLine(a.who.ID))
}
