package upstream

import "github.com/understudy/understudy/resp"

// maxJoint is the size of the largest reply that is delivered together with others.
const maxJoint = 16 << 10

// joint delivers the replies at the front of p together, as far as they are whole, of one type, and for requests of one
// owner that want no more than that. It returns how many bytes they are; 0: the next reply must be taken by itself. A
// reply begins with p.
//
// What a reply costs beyond the search for its end is paid once for all of them: a pipeline of reads is answered by one
// copy. It took half of the time that the replies of a pipeline of 16 cost.
func (c *Conn) joint(p []byte) int {
	if !c.ready || c.queue.n == 0 || len(c.partial) > 0 || c.streaming || c.Passthrough {
		return 0
	}
	first := c.queue.front()
	if !first.Joint || p[0] == '-' {
		return 0
	}
	n, size, largest, pos := 0, 0, 0, 0
	for n < c.queue.n && pos < len(p) && p[pos] == p[0] {
		e := c.queue.at(n)
		if e.Nature != first.Nature || e.Owner != first.Owner {
			break
		}
		whole := resp.WholeLeaf(p[pos:])
		if whole == 0 || whole > maxJoint {
			break
		}
		n++
		size += e.Size
		pos += whole
		largest = max(largest, whole)
	}
	if n == 0 {
		return 0
	}
	c.stamp(n)
	if !first.Owner.(Joiner).Replies(c, first, n, size, largest, p[:pos]) {
		return 0 // that they are stamped once more does no harm
	}
	if !c.ended {
		c.answer(n, size)
		c.settle()
	}
	return pos
}
