package door

// Verdict is what a person's factors come to.
type Verdict struct {
	Opens    bool
	By       Set          // the policy that is satisfied, when Opens
	Fallback bool         // By is a fallback
	Missing  Set          // what the nearest policy still wants, when not Opens
	Unproven LivenessMode // only the face is missing, and there is one, less sure to be a head than this mode asks; "": not so
}

// Decide says whether the given factors open for p. alive is what speaks for the face among
// them, if there is one. blind tells that vision reports a problem, which is when fallbacks count.
func (c Config) Decide(p Person, given Set, alive Liveness, blind bool) Verdict {
	of := map[Liveness]proof{Spoof: noProof, Live: byMotion}
	sure, ok := of[alive]
	if !ok {
		sure = bySight
	}
	return c.decide(p, given, sure, blind)
}

func (c Config) decide(p Person, given Set, sure proof, blind bool) Verdict {
	var v Verdict
	try := func(sets []Set, fallback bool) {
		for _, want := range sets {
			if v.Opens || validPolicies([]Set{want}) != nil || fallback && validFallback([]Set{want}) != nil {
				continue // deny by default, whatever was stored
			}
			missing, mode := c.missing(want, given, sure)
			if missing == 0 {
				v = Verdict{Opens: true, By: want, Fallback: fallback}
			} else if v.Missing == 0 || missing.Len() < v.Missing.Len() ||
				missing.Len() == v.Missing.Len() && (fallback || mode != "" && v.Unproven == "") {
				v.Missing, v.Unproven = missing, mode
			}
		}
	}
	try(orElse(p.Policies, c.Policy), false)
	if blind {
		try(orElse(p.Fallback, c.Fallback), true)
	}
	return v
}

// missing returns what a policy still wants, and its mode when that is only to be surer of a
// face that is there.
func (c Config) missing(want, given Set, sure proof) (missing Set, mode LivenessMode) {
	face := SetOf(FaceID)
	mode = c.livenessOf(want)
	if !want.Has(face) || !given.Has(face) || sure >= mode.needs() {
		return want &^ given, ""
	}
	missing = want&^given | face
	if missing != face || sure == noProof {
		mode = ""
	}
	return missing, mode
}

func orElse(own, houses []Set) []Set {
	if len(own) > 0 {
		return own
	}
	return houses
}
