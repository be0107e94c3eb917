package command

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// index finds commands by name whatever its case, without allocating. It is an open-addressing hash table of which at
// most a quarter is filled. A name of up to 16 bytes is compared as two words; only a few names are longer.
type index struct {
	slots []slot
	mask  uint64
	n     int // commands
}

type slot struct {
	name fold
	cmd  *Command
	full string // the name in upper case
}

// fold is a name in upper case, reduced to its length and its first and last eight bytes, which is all of it up to
// sixteen.
type fold struct {
	head, tail uint64
	size       int
}

func foldName(name []byte) fold {
	n := len(name)
	switch {
	case n >= 8:
		return fold{upper(binary.LittleEndian.Uint64(name)), upper(binary.LittleEndian.Uint64(name[n-8:])), n}
	case n >= 4:
		head := uint64(binary.LittleEndian.Uint32(name))
		tail := uint64(binary.LittleEndian.Uint32(name[n-4:]))
		return fold{upper(head | tail<<32), 0, n}
	case n > 0:
		return fold{upper(uint64(name[0]) | uint64(name[n/2])<<8 | uint64(name[n-1])<<16), 0, n}
	default:
		return fold{}
	}
}

// upper turns the ASCII letters among eight bytes into upper case and leaves other bytes alone. No addition carries
// into the next byte, because the top bit of each is cleared before.
func upper(w uint64) uint64 {
	const ones = 0x0101010101010101
	low := w &^ (0x80 * ones)
	aboveZ := low + (0x7f-'z')*ones
	fromA := low + (0x80-'a')*ones
	letters := (fromA &^ aboveZ) &^ w & (0x80 * ones)
	return w ^ letters>>2
}

func (f fold) hash() uint64 {
	h := (f.head ^ uint64(f.size)) * 0x9e3779b97f4a7c15
	h ^= bits.RotateLeft64(f.tail, 29) * 0xc2b2ae3d27d4eb4f
	return h ^ h>>32
}

// newIndex makes room for n commands.
func newIndex(n int) *index {
	size := uint64(1) << bits.Len(uint(4*n))
	return &index{slots: make([]slot, size), mask: size - 1}
}

// add enters a command under a name in upper case; a later one takes the place of an earlier one of that name.
func (x *index) add(name string, c *Command) {
	f := foldName([]byte(name))
	i := f.hash() & x.mask
	for x.slots[i].cmd != nil && x.slots[i].full != name {
		i = (i + 1) & x.mask
	}
	if x.slots[i].cmd == nil {
		x.n++
	}
	x.slots[i] = slot{f, c, name}
}

// find returns the command of this name in any case, or nil.
func (x *index) find(name []byte) *Command {
	f := foldName(name)
	for i := f.hash() & x.mask; ; i = (i + 1) & x.mask {
		s := &x.slots[i]
		if s.cmd == nil {
			return nil
		}
		if s.name == f && (f.size <= 16 || EqualFold(name, s.full)) {
			return s.cmd
		}
	}
}

// EqualFold compares an argument with an ASCII word in upper case as a server does: whatever the case of its letters, and
// up to its first NUL, where a string ends for a program in C. BLOCK\x00 is BLOCK. (bytes.EqualFold also folds beyond ASCII,
// which a server does not.)
func EqualFold(arg []byte, word string) bool {
	if len(arg) != len(word) && (len(arg) < len(word) || arg[len(word)] != 0) {
		return false
	}
	for i := range len(word) {
		b := arg[i]
		if 'a' <= b && b <= 'z' {
			b -= 'a' - 'A'
		}
		if b != word[i] {
			return false
		}
	}
	return true
}

// Word is an argument in upper case as a server reads a word: see [EqualFold].
func Word(arg []byte) string {
	if i := bytes.IndexByte(arg, 0); i >= 0 {
		arg = arg[:i]
	}
	return asciiUpper(arg)
}

// asciiUpper is a name in upper case, of which a server knows only the letters of ASCII.
func asciiUpper(name []byte) string {
	b := bytes.Clone(name)
	for i, c := range b {
		if 'a' <= c && c <= 'z' {
			b[i] = c - ('a' - 'A')
		}
	}
	return string(b)
}
