package dataport

import (
	"net"
	"time"
)

// SetPatience replaces how long a successor may take until it is ready.
func (o *Offer) SetPatience(d time.Duration) { o.patience = d }

// TrustPeer judges the process at the other end as if this one belonged to user.
func TrustPeer(c *net.UnixConn, user int) error {
	_, err := trustPeer(c, user)
	return err
}

// Abandon ends the conversation as the end of the process would.
func (s *Successor) Abandon() { s.conn.Close() }
