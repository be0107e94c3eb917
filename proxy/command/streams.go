package command

// StreamOptions reads the options of XREAD or XREADGROUP as a server does, which takes them in any order: GROUP after
// BLOCK, a group that is called STREAMS, a consumer that is called COUNT. It returns where the time of BLOCK stands, the
// last one if there are several, and where the keys begin; 0 for what there is not. What follows a word that it does not
// know, of a newer server, it does not read.
func StreamOptions(args [][]byte) (block, keys int) {
	block, keys, _ = streamOptions(args)
	return block, keys
}

// streamOptions is StreamOptions, and also returns where it met a word that it does not know; 0: nowhere.
func streamOptions(args [][]byte) (block, keys, strange int) {
	for i := 1; i < len(args); i++ {
		switch more := len(args) - i - 1; {
		case more >= 1 && EqualFold(args[i], "BLOCK"):
			i++
			block = i
		case more >= 1 && EqualFold(args[i], "COUNT"):
			i++
		case more >= 1 && EqualFold(args[i], "STREAMS"):
			return block, i + 1, 0
		case more >= 2 && EqualFold(args[i], "GROUP"):
			i += 2
		case EqualFold(args[i], "NOACK"):
		default:
			return block, 0, i
		}
	}
	return block, 0, 0
}

// mayBlock reports whether XREAD or XREADGROUP has the option BLOCK. Behind a word that it does not know, any BLOCK may be one:
// a connection of its own does no harm to a command that does not block.
func mayBlock(args [][]byte) bool {
	block, _, strange := streamOptions(args)
	return block > 0 || strange > 0 && hasWord(args, strange, "BLOCK")
}
