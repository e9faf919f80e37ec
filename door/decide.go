package door

// Verdict is what a person's factors come to.
type Verdict struct {
	Opens    bool
	By       Set  // the policy that is satisfied, when Opens
	Fallback bool // By is a fallback
	Missing  Set  // what the nearest policy still wants, when not Opens
}

// Decide says whether the given factors open for p. blind tells that vision reports a
// problem, which is when fallbacks count.
func (c Config) Decide(p Person, given Set, blind bool) Verdict {
	var v Verdict
	try := func(sets []Set, fallback bool) {
		for _, want := range sets {
			if v.Opens || validPolicies([]Set{want}) != nil || fallback && validFallback([]Set{want}) != nil {
				continue // deny by default, whatever was stored
			}
			missing := want &^ given
			if missing == 0 {
				v = Verdict{Opens: true, By: want, Fallback: fallback}
			} else if v.Missing == 0 || missing.Len() < v.Missing.Len() ||
				fallback && missing.Len() == v.Missing.Len() {
				v.Missing = missing
			}
		}
	}
	try(orElse(p.Policies, c.Policy), false)
	if blind {
		try(orElse(p.Fallback, c.Fallback), true)
	}
	return v
}

func orElse(own, houses []Set) []Set {
	if len(own) > 0 {
		return own
	}
	return houses
}
