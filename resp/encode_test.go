package resp

import (
	"math"
	"strconv"
	"testing"
)

func TestAppendFunctionsWriteProtocol(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{string(AppendRequest(nil, []byte("GET"), []byte("k\r\n"))), "*2\r\n$3\r\nGET\r\n$3\r\nk\r\n\r\n"},
		{string(AppendRequestStrings([]byte("x"), "SET", "", "0123456789")), "x*3\r\n$3\r\nSET\r\n$0\r\n\r\n$10\r\n0123456789\r\n"},
		{string(AppendArray(nil, 0)), "*0\r\n"},
		{string(AppendArray(nil, 123)), "*123\r\n"},
		{string(AppendBulk(nil, nil)), "$0\r\n\r\n"},
		{string(AppendBulkString(nil, "abc")), "$3\r\nabc\r\n"},
		{string(AppendSimple(nil, "a\r\nb")), "+a  b\r\n"},
		{string(AppendError([]byte("+a\r\n"), "ERR a\nb")), "+a\r\n-ERR a b\r\n"},
		{string(AppendInt(nil, math.MinInt64)), ":-9223372036854775808\r\n"},
		{string(AppendInt(nil, 9)), ":9\r\n"},
		{string(AppendInt(nil, -1)), ":-1\r\n"},
		{string(AppendNull(nil, 2)), "$-1\r\n"},
		{string(AppendNull(nil, 3)), "_\r\n"},
		{string(AppendNullArray(nil, 2)), "*-1\r\n"},
		{string(AppendNullArray(nil, 3)), "_\r\n"},
		{string(AppendMap(nil, 2, 6)), "*12\r\n"},
		{string(AppendMap(nil, 3, 6)), "%6\r\n"},
		{string(AppendSet(nil, 2, 6)), "*6\r\n"},
		{string(AppendSet(nil, 3, 6)), "~6\r\n"},
		{string(AppendPush(nil, 2, 3)), "*3\r\n"},
		{string(AppendPush(nil, 3, 3)), ">3\r\n"},
		{string(AppendVerbatim(nil, 2, "txt", "some text")), "$9\r\nsome text\r\n"},
		{string(AppendVerbatim(nil, 3, "txt", "some text")), "=13\r\ntxt:some text\r\n"},
		{string(AppendDouble(nil, 2, 0.1)), "$3\r\n0.1\r\n"},
		{string(AppendDouble(nil, 3, 1234567)), ",1234567\r\n"},
		{string(AppendDouble(nil, 3, -1e300)), ",-1e+300\r\n"},
		{string(AppendDouble(nil, 3, 0)), ",0\r\n"},
		{string(AppendDouble(nil, 3, math.Inf(1))), ",inf\r\n"},
		{string(AppendDouble(nil, 2, math.Inf(-1))), "$4\r\n-inf\r\n"},
		{string(AppendDouble(nil, 3, math.NaN())), ",nan\r\n"},
		{string(AppendBool(nil, 2, true)), ":1\r\n"},
		{string(AppendBool(nil, 2, false)), ":0\r\n"},
		{string(AppendBool(nil, 3, true)), "#t\r\n"},
		{string(AppendBool(nil, 3, false)), "#f\r\n"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestAppendedDoublesReadBackExactly(t *testing.T) {
	for _, f := range []float64{0, 1, -1, 0.1, 1.0 / 3, 1e16, 1e17, 1e-5, 1e-6, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Pi} {
		v, _, err := Decode(AppendDouble(nil, 3, f))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := strconv.ParseFloat(string(v.Str), 64); err != nil || got != f {
			t.Errorf("%v reads back as %v, error %v", f, got, err)
		}
	}
}

func TestAppendingIntoRoomAllocatesNothing(t *testing.T) {
	room := make([]byte, 0, 4096)
	args := [][]byte{[]byte("SET"), []byte("key"), []byte("value")}
	if got := testing.AllocsPerRun(100, func() {
		b := AppendRequest(room, args...)
		b = AppendRequestStrings(b, "GET", "key")
		b = AppendError(b, "ERR x")
		b = AppendInt(b, 123456)
		b = AppendDouble(b, 2, 1.5)
		_ = AppendMap(b, 3, 100)
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}
