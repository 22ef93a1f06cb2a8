package importfile

import (
	"bufio"
	"fmt"
	"unicode/utf8"
)

// utf8Reader passes UTF-8 through, and names the line that contains anything else: spreadsheets write regional
// encodings, and two ids that differ in one letter would become the same.
type utf8Reader struct {
	r    *bufio.Reader
	line int
	err  error // that ended it: anyone who looks ahead must not swallow it
}

// Read implements io.Reader.
func (u *utf8Reader) Read(p []byte) (n int, err error) {
	for u.err == nil && n+utf8.UTFMax <= len(p) {
		c, size, err := u.r.ReadRune()
		switch {
		case err != nil:
			u.err = err
		case c == utf8.RuneError && size == 1:
			u.err = fmt.Errorf("line %d is not UTF-8: save the file as UTF-8 (in Excel: \"CSV UTF-8\")", u.line)
		default:
			n += utf8.EncodeRune(p[n:], c)
		}
		if c == '\n' {
			u.line++
		}
		if n > 0 && u.r.Buffered() == 0 {
			break
		}
	}
	if n > 0 {
		return n, nil // the error comes with the next read
	}
	return 0, u.err
}
