package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/scopegate/scopegate/gateway/policy"
)

// What test says with --mutate: how many mistakes the personas notice, and which they do not.

// testMutants counts mutants. Score is killed among all of them in percent, not rounded; 100 of
// none.
type testMutants struct {
	Killed    int            `json:"killed"`
	Survived  int            `json:"survived"`
	Score     float64        `json:"score"`
	Survivors []testSurvivor `json:"survivors,omitzero"` // of all policies together
}

// testSurvivor is a mistake that no persona notices. Persona is YAML to paste below `personas:`
// that notices it.
type testSurvivor struct {
	Kind    policy.MutantKind `json:"kind"`
	Path    string            `json:"path"`
	Method  string            `json:"method"`
	File    string            `json:"file"`
	Line    int               `json:"line"`
	Change  string            `json:"change"`
	Persona string            `json:"persona"`
}

// mutate weakens each policy and notes what its personas make of that.
func (r *testRun) mutate(a *app) {
	for _, t := range r.policies {
		progress := a.progress("weakening " + t.file + ": routes and scopes")
		t.mutation = t.policy.Mutate(&t.report, func(done, total int) { progress.at(int64(done), int64(total)) })
		progress.end()
		r.killed += t.mutation.Killed
		r.survived += len(t.mutation.Survivors)
	}
}

// tooWeak compares without rounding.
func (r *testRun) tooWeak() bool {
	return float64(r.killed)*100 < r.minScore*float64(r.killed+r.survived)
}

func (r *testRun) weakness() string {
	return fmt.Sprintf("the personas notice %s of the mistakes, and --min-score asks for %v %%", percent(r.killed, r.killed+r.survived), r.minScore)
}

func (r *testRun) mutants() *testMutants {
	all := mutantsOf(r.killed, r.survived)
	all.Survivors = []testSurvivor{}
	for _, t := range r.policies {
		for i := range t.mutation.Survivors {
			s := &t.mutation.Survivors[i]
			all.Survivors = append(all.Survivors, testSurvivor{s.Kind, s.Path, s.Method, t.policy.File(), s.Line, s.Change, policy.YAML([]policy.Persona{s.Persona})})
		}
	}
	return all
}

func mutantsOf(killed, survived int) *testMutants {
	return &testMutants{Killed: killed, Survived: survived, Score: policy.Score(killed, survived)}
}

// printSurvivors lists what may be wrong and nobody would see it.
func (t *tested) printSurvivors(a *app) {
	if len(t.mutation.Survivors) == 0 {
		return
	}
	a.printf("Mistakes in %s that no persona would notice:\n", t.file)
	head := ""
	for i := range t.mutation.Survivors {
		s := &t.mutation.Survivors[i]
		if one := place(t.policy.File(), s.Line) + ": " + weakened(s); one != head {
			head = one
			a.printf("  %s\n", one)
		}
		a.printf("      %-*s  %s\n", longestKind, s.Kind, s.Change)
	}
	a.printf("\n")
}

const longestKind = len("made_authenticated")

// weakened is what the mistake is in.
func weakened(s *policy.Survivor) string {
	switch s.Kind {
	case policy.ImplicationAdded:
		return "scopes"
	case policy.LiteralWidened, policy.PathWidened:
		return s.Path
	}
	return s.Method + " " + s.Path
}

func survivorText(s *policy.Survivor) string {
	return fmt.Sprintf("%s: %s (%s)", weakened(s), s.Change, s.Kind)
}

// annotateSurvivors writes a warning at each weak line: what may be wrong there, and the personas
// that would notice.
func (t *tested) annotateSurvivors(w io.Writer) {
	all := t.mutation.Survivors // by line
	for len(all) > 0 {
		line, said, personas := all[0].Line, "", []policy.Persona(nil)
		for ; len(all) > 0 && all[0].Line == line; all = all[1:] {
			said += survivorText(&all[0]) + "\n"
			personas = withPersona(personas, all[0].Persona)
		}
		annotate(w, "warning", t.policy.File(), line, 0, "mistakes that no persona would notice",
			said+"This would notice, below `personas:`:\n"+policy.YAML(personas))
	}
}

// withPersona adds what a persona expects to the one of its name.
func withPersona(list []policy.Persona, one policy.Persona) []policy.Persona {
	for i := range list {
		if known := &list[i]; known.Name == one.Name {
			for _, e := range one.Deny {
				if !slices.Contains(known.Deny, e) {
					known.Deny = append(known.Deny, e)
				}
			}
			for _, e := range one.Allow {
				if !slices.Contains(known.Allow, e) {
					known.Allow = append(known.Allow, e)
				}
			}
			return list
		}
	}
	one.Allow, one.Deny = slices.Clone(one.Allow), slices.Clone(one.Deny)
	return append(list, one)
}

// junitMutants is a suite of one case, which fails when a score is asked for that is not reached.
func (r *testRun) junitMutants() junitSuite {
	total := r.killed + r.survived
	one := junitCase{Class: "mutants", Name: fmt.Sprintf("the personas notice at least %v %% of the mistakes", r.minScore)}
	suite := junitSuite{Name: "mutants", Tests: 1, Properties: &junitProperties{[]junitProperty{{"mutants.killed", fmt.Sprint(r.killed)}, {"mutants.total", fmt.Sprint(total)}}}}
	if r.tooWeak() {
		text := r.weakness()
		for _, t := range r.policies {
			for i := range t.mutation.Survivors {
				s := &t.mutation.Survivors[i]
				text += "\n" + place(t.policy.File(), s.Line) + ": " + survivorText(s)
			}
		}
		one.Failure, suite.Failures = &junitFailure{Message: r.weakness(), Type: "mutants", Text: text}, 1
	}
	suite.Cases = []junitCase{one}
	return suite
}
