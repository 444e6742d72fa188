package seal_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/seal"
)

// pair makes both halves of a key.
func pair(t testing.TB) (*seal.Sealer, *seal.Key) {
	t.Helper()
	opening, sealing, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	s, err := seal.NewSealer(sealing)
	if err != nil {
		t.Fatal(err)
	}
	k, err := seal.ParseKey(opening)
	if err != nil {
		t.Fatal(err)
	}
	if s.ID() != k.ID() || !bytes.Contains(opening, []byte(k.ID())) || !bytes.Contains(sealing, []byte(k.ID())) {
		t.Fatal("the two files do not bear one id")
	}
	return s, k
}

const secret = `{"reason":"insufficient_scope","missing":["shop.order.write"]}`

func TestWhatIsSealedIsOpenedByItsKeyAlone(t *testing.T) {
	s, k := pair(t)
	_, other := pair(t)
	text := string(s.Append([]byte("before "), []byte(secret), time.Now()))
	text, ok := strings.CutPrefix(text, "before ")
	if !ok || len(text) != seal.Length || seal.Length > 1536 {
		t.Fatalf("%d characters: %s", len(text), text)
	}
	got, err := seal.Open(text, other, k)
	if err != nil || string(got) != secret {
		t.Fatalf("%s %v", got, err)
	}
	if got, err := seal.Open(text[:300]+"\n  "+text[300:]+"\r\n", k); err != nil || string(got) != secret {
		t.Errorf("broken into lines: %s %v", got, err)
	}
	for name, c := range map[string]struct {
		text string
		keys []*seal.Key
		want string
	}{
		"without a key":   {text, nil, "no key was given"},
		"another key":     {text, []*seal.Key{other}, "sealed for the key " + k.ID() + ", and the one given is " + other.ID()},
		"another version": {"sg2." + text[4:], []*seal.Key{k}, `version "sg2"`},
		"something else":  {"eyJhbGciOi", []*seal.Key{k}, "no sealed explanation"},
		"nothing":         {"", []*seal.Key{k}, "no sealed explanation"},
		"cut":             {text[:len(text)-1], []*seal.Key{k}, "copy it whole"},
		"longer":          {text + "A", []*seal.Key{k}, "copy it whole"},
	} {
		_, err := seal.Open(c.text, c.keys...)
		var e *seal.Error
		if !errors.As(err, &e) || !strings.Contains(e.Text+" "+e.Hint, c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// Every character counts: whoever carries a text cannot change it, nor put together two.
func TestNoCharacterCanBeChanged(t *testing.T) {
	s, k := pair(t)
	now := time.Now()
	text := s.Append(nil, []byte(secret), now)
	for i := range text {
		changed := bytes.Clone(text)
		if changed[i] = 'A'; text[i] == 'A' {
			changed[i] = 'B'
		}
		if got, err := seal.Open(string(changed), k); err == nil {
			t.Fatalf("character %d changed, and opened: %s", i, got)
		}
	}
	another, _ := pair(t)
	foreign := another.Append(nil, []byte(secret), now)
	later := s.Append(nil, []byte(secret), now.Add(2*time.Hour)) // the same key, another secret
	for i := 4; i < len(text); i += 4 {
		for _, other := range [][]byte{foreign, later} {
			mixed := string(text[:i]) + string(other[i:])
			if got, err := seal.Open(mixed, k); err == nil && mixed != string(other) {
				t.Fatalf("two texts joined at %d open: %s", i, got)
			}
		}
	}
}

// Equal texts look different, and short and long ones alike.
func TestSealedTextsTellNothing(t *testing.T) {
	s, k := pair(t)
	now := time.Now()
	seen := map[string]bool{}
	for _, text := range []string{"", "x", secret, secret, strings.Repeat("y", seal.Size), strings.Repeat("z", seal.Size+1)} {
		sealed := string(s.Append(nil, []byte(text), now))
		if len(sealed) != seal.Length || seen[sealed] || strings.Contains(sealed, "shop") {
			t.Fatalf("%d characters: %s", len(sealed), sealed)
		}
		seen[sealed] = true
		if got, err := seal.Open(sealed, k); err != nil || string(got) != text[:min(len(text), seal.Size)] {
			t.Fatalf("%q %v", got, err)
		}
	}
}

// The secret is changed every hour; what was sealed before is opened all the same.
func TestSecretsChange(t *testing.T) {
	s, k := pair(t)
	now := time.Now()
	encapsulated := map[string]bool{}
	for i := range 5 {
		sealed := string(s.Append(nil, []byte(secret), now.Add(time.Duration(i)*31*time.Minute)))
		encapsulated[sealed[15:55]] = true
		if _, err := seal.Open(sealed, k); err != nil {
			t.Fatal(err)
		}
	}
	if len(encapsulated) != 3 {
		t.Errorf("%d secrets in two hours", len(encapsulated))
	}
}

func TestKeyFilesThatAreNone(t *testing.T) {
	opening, sealing, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"the other half": {sealing, "is a sealing key"},
		"two":            {append(bytes.Clone(opening), opening...), "2 lines"},
		"empty":          {nil, "0 lines"},
		"cut":            {opening[:len(opening)-3], "damaged"},
		"something else": {[]byte("hunter2"), "holds no key"},
	} {
		if _, err := seal.ParseKey(c.text); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("opening: %s: %v, want %q", name, err, c.want)
		}
	}
	for name, text := range map[string][]byte{"is an opening key": opening, "damaged": sealing[:len(sealing)-3], "holds no key": []byte("hunter2")} {
		if _, err := seal.NewSealer(text); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("sealing: %v, want %q", err, name)
		}
	}
	zero := []byte("scopegate-sealing-key-1:" + strings.Repeat("A", 43))
	if _, err := seal.NewSealer(zero); err == nil {
		t.Error("a point of small order is taken for a key")
	}
}

// FuzzOpen: whatever is pasted, opening ends with an error or with what was sealed.
func FuzzOpen(f *testing.F) {
	s, k := pair(f)
	good := string(s.Append(nil, []byte(secret), time.Now()))
	for _, seed := range []string{good, "", "sg1.", "sg9.x", good[:500], good + good, strings.Repeat("A", seal.Length), "sg1." + strings.Repeat("-", seal.Length-4)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sealed string) {
		got, err := seal.Open(sealed, k)
		var e *seal.Error
		if err == nil && string(got) != secret || err != nil && !errors.As(err, &e) {
			t.Fatalf("%q %v", got, err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	s, _ := pair(b)
	room, now := make([]byte, 0, seal.Length), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		s.Append(room, []byte(secret), now)
	}
}
