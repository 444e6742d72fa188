package sidecar

import (
	"fmt"
	"os"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/seal"
)

const makeExplainKey = "make a pair with: gateway explain --new-key explain.key, and write explain_key: explain.key.seal"

// explainKey reads the key for the services that say explain: sealed.
func (r *resolver) explainKey(raw *rawConfig) string {
	used := false
	for i := range raw.services {
		if s := &raw.services[i]; explainOf(s) == gate.ExplainSealed {
			used = true
			if !raw.explainKey.set {
				r.fault(idExplainKey, s.explain.node, "explain: sealed needs the top-level key explain_key", makeExplainKey)
			}
		}
	}
	o := raw.explainKey
	if !o.set {
		return ""
	}
	if !used {
		r.warn(idIdleKey, o.node, "explain_key is for nothing: no service says explain: sealed", "")
	}
	name := relative(r.config, o.v)
	text, err := r.files.file(name)
	if err != nil {
		r.fault(idExplainKey, o.node, fmt.Sprintf("%s: %s", name, err), makeExplainKey)
		return ""
	}
	if _, err := seal.NewSealer(text); err != nil {
		r.fault(idExplainKey, o.node, fmt.Sprintf("%s %s", name, err), makeExplainKey)
	}
	if info, err := os.Stat(name); err == nil && info.Mode().Perm()&0o007 != 0 {
		r.warn(idOpenKey, o.node, fmt.Sprintf("%s can be read by everybody on this machine, who can then make up explanations", name), "chmod 640 "+name)
	}
	return string(text)
}
