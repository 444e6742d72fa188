package attacks

import "testing"

// lane is a way in which the gateway reads HTTP/1 (lane: in gateway.yaml). HTTP/2 is read by the same
// reader whatever it says.
type lane struct {
	name string
	// strict says that the lane refuses whatever is not plainly well formed; net/http lets some of it
	// through in a form of its own.
	strict bool
}

var (
	auto     = lane{name: "auto", strict: true} // gateway/fastlane
	standard = lane{name: "standard"}           // net/http
	lanes    = []lane{auto, standard}
)

// overLanes runs a test over every lane, side by side with other tests.
func overLanes(t *testing.T, test func(t *testing.T, l lane)) {
	t.Helper()
	t.Parallel()
	for _, l := range lanes {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			test(t, l)
		})
	}
}
