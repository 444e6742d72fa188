package conformance_test

import (
	"context"
	"net/http/httptrace"
	"net/textproto"
)

// traceHints sends the Link field of a 103 to hints.
func traceHints(ctx context.Context, hints chan<- string) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
			if status == 103 {
				hints <- h.Get("Link")
			}
			return nil
		},
	})
}
