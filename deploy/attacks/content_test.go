package attacks

import (
	"strconv"
	"strings"
)

// Where a framing ends the content of a request.

// idle methods give no meaning to content (RFC 9110 sections 9.3.1, 9.3.2, 9.3.5 and 9.3.7).
var idleMethods = map[string]bool{"GET": true, "HEAD": true, "DELETE": true, "OPTIONS": true}

// body reads to the end of the message.
func (r *scan) body() error {
	switch {
	case r.version == "": // HTTP/0.9 ends the connection
		return errRefused
	case r.Idle && idleMethods[r.method], r.Expect && len(r.values("expect")) > 0:
		return nil
	case r.Upgrade && len(r.values("upgrade")) > 0 && !strings.EqualFold(strings.Join(r.values("upgrade"), ","), "websocket"):
		r.at = len(r.in)
		return errWaiting
	}
	codings, lengths := r.values("transfer-encoding"), r.values("content-length")
	if r.TE == "never" || len(codings) > 0 && r.version == "HTTP/1.0" && r.Old == "drop" {
		codings = nil
	}
	if len(codings) > 0 && r.version == "HTTP/1.0" && r.Old == "" {
		return errRefused
	}
	if len(codings) > 0 && len(lengths) > 0 {
		switch r.Both {
		case "":
			return errRefused
		case "CL":
			codings = nil
		}
	}
	if len(codings) > 0 {
		is, err := r.isChunked(codings)
		switch {
		case err != nil:
			return err
		case is:
			return r.chunks()
		}
	}
	n, err := r.length(lengths)
	if err != nil {
		return err
	}
	return r.skip(n)
}

func (r *scan) skip(n int64) error {
	if n > int64(len(r.in)-r.at) {
		r.at = len(r.in)
		return errWaiting
	}
	r.at += int(n)
	return nil
}

// isChunked interprets Transfer-Encoding; false means that the field counts for nothing.
func (r *scan) isChunked(fields []string) (bool, error) {
	list := strings.Split(strings.ToLower(strings.Join(fields, ",")), ",")
	for i := range list {
		list[i] = strings.Trim(list[i], " \t")
	}
	is := false
	switch r.TE {
	case "part":
		is = strings.Contains(strings.Join(list, ","), "chunked")
	case "first":
		is = list[0] == "chunked"
	case "last":
		is = list[len(list)-1] == "chunked"
	case "all":
		is = true
	default:
		is = len(list) == 1 && list[0] == "chunked"
	}
	if !is && r.TE != "none" && r.TE != "first" && r.TE != "last" && r.TE != "part" {
		return false, errRefused
	}
	return is, nil
}

// length interprets Content-Length, 0 where there is none.
func (r *scan) length(fields []string) (int64, error) {
	if len(fields) == 0 {
		return 0, nil
	}
	list := strings.Split(strings.Join(fields, ","), ",")
	text := list[0]
	switch {
	case r.CLs == "last":
		text = list[len(list)-1]
	case len(list) > 1 && r.CLs == "":
		return 0, errRefused
	}
	text = strings.Trim(text, " \t")
	if n, ok := digits(text, 10); ok && r.CL != "base" {
		return n, nil
	}
	return number(text, 10, r.CL)
}

// digits is a number without any liberty.
func digits(text string, base int) (int64, bool) {
	n, err := strconv.ParseUint(text, base, 63)
	return int64(n), err == nil
}

// number takes a liberty with what is no plain number.
func number(text string, base int, liberty string) (int64, error) {
	switch liberty {
	case "trim":
		if n, ok := digits(trimmed(text), base); ok {
			return n, nil
		}
	case "zero", "empty":
		if text == "" || liberty == "zero" {
			return 0, nil
		}
	case "prefix":
		if n, ok := digits(leading(text, base), base); ok {
			return n, nil
		}
	case "strtol", "base":
		if n, ok := strtol(text, base, liberty == "base"); ok {
			return n, nil
		}
	case "python":
		plain := strings.ReplaceAll(strings.TrimPrefix(trimmed(text), "+"), "_", "")
		if base == 16 {
			plain = strings.TrimPrefix(strings.TrimPrefix(plain, "0x"), "0X")
		}
		if n, ok := digits(strings.TrimPrefix(plain, "-"), base); ok {
			return n, nil
		}
	case "wrap": // the last 32 bits of it
		n := uint32(0)
		for i := range len(text) {
			d, ok := digits(text[i:i+1], base)
			if !ok {
				return 0, errRefused
			}
			n = n*uint32(base) + uint32(d)
		}
		return int64(n), nil
	}
	return 0, errRefused
}

// leading are the digits with which a text begins.
func leading(text string, base int) string {
	for i := range len(text) {
		if _, ok := digits(text[i:i+1], base); !ok {
			return text[:i]
		}
	}
	return text
}

// strtol reads as C does: white space, a sign, a prefix, and then as many digits as there are.
// detect lets the prefix choose the base (0x, or 0 for octal).
func strtol(text string, base int, detect bool) (int64, bool) {
	text = strings.TrimLeft(text, " \t\v\f\r\n")
	text = strings.TrimLeft(text, "+-")
	switch hex := strings.HasPrefix(text, "0x") || strings.HasPrefix(text, "0X"); {
	case hex && (base == 16 || detect):
		text, base = text[2:], 16
	case detect && len(text) > 1 && text[0] == '0':
		base = 8
	}
	return digits(leading(text, base), base)
}

func (r *scan) chunks() error {
	for {
		line, err := r.line()
		if err != nil {
			return err
		}
		n, err := r.chunkSize(line)
		switch {
		case err != nil:
			return err
		case n == 0:
			return r.trailers()
		}
		if err := r.skip(n); err != nil {
			return err
		}
		if err := r.behind(r.Data); err != nil {
			return err
		}
	}
}

func (r *scan) chunkSize(line string) (int64, error) {
	text, ext, found := strings.Cut(line, ";")
	if found && !r.Ext && (ext == "" || strings.ContainsFunc(ext, control) || strings.Contains(ext, "\n")) {
		return 0, errRefused
	}
	if n, ok := digits(text, 16); ok && len(text) <= 15 {
		return n, nil
	}
	return number(text, 16, r.Size)
}

// behind reads what has to stand behind the data of a chunk.
func (r *scan) behind(liberty string) error {
	rest := r.in[r.at:]
	switch {
	case liberty == "line":
		_, err := r.line()
		return err
	case liberty == "any", strings.HasPrefix(rest, "\r\n"), strings.HasPrefix(rest, "\r") && r.Ends == "CR+":
		return r.skip(2)
	case strings.HasPrefix(rest, "\n") && r.Ends == "LF", strings.HasPrefix(rest, "\r") && r.Ends == "CR":
		return r.skip(1)
	case liberty == "none":
		return nil
	case rest == "", rest == "\r":
		return errWaiting
	}
	return errRefused
}

// trailers reads to the empty line behind the last chunk.
func (r *scan) trailers() error {
	switch r.Last {
	case "none":
		return nil
	case "any":
		return r.skip(2)
	}
	for {
		line, err := r.line()
		if err != nil || line == "" {
			return err
		}
		if end, err := r.field(line); err != nil || end {
			return err
		}
	}
}
