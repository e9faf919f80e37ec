package face

import "math"

// tally makes the comparisons of a calibration.
type tally struct {
	people []Enrolled
	at     map[string]int // index by id

	same       []float64
	samePeople map[string]bool
	other      []float64
	pairs      map[[2]string]bool
}

func newTally(people []References) *tally {
	t := &tally{at: map[string]int{}, samePeople: map[string]bool{}, pairs: map[[2]string]bool{}}
	for i, p := range people {
		e := Enrolled{Person: p.Person}
		for _, f := range p.Faces {
			e.Descriptors = append(e.Descriptors, f.Descriptor)
		}
		t.people = append(t.people, e)
		t.at[p.Person] = i
	}
	return t
}

// genuine compares each look of a person with the person's others.
func (t *tally) genuine(i int) {
	p := t.people[i]
	for k := range p.Descriptors {
		if d := nearestOther(p.Descriptors, k); !math.IsInf(d, 1) {
			t.addSame(p.Person, d)
		}
	}
}

// nearestOther returns the distance of one look to the nearest of the others; infinite without
// any.
func nearestOther(all []Descriptor, one int) float64 {
	least := math.Inf(1)
	for k, d := range all {
		if k != one {
			least = min(least, Distance(d, all[one]))
		}
	}
	return least
}

// impostor compares two people both ways, and returns the least distance.
func (t *tally) impostor(i, j int) float64 {
	a, b := t.people[i], t.people[j]
	least := math.Inf(1)
	for _, d := range a.Descriptors {
		least = min(least, t.addOther(a.Person, b, d))
	}
	for _, d := range b.Descriptors {
		t.addOther(b.Person, a, d)
	}
	return least
}

// take compares a look from a camera with what is enrolled, and returns how many looks it
// adds to those of known people, and to those whose it is known not to be.
func (t *tally) take(s Seen) (known, refuted int) {
	if !finite(s.Descriptor) {
		return 0, 0
	}
	if i, ok := t.at[s.Person]; ok {
		known = 1
		t.addSame(s.Person, nearest(t.people[i].Descriptors, s.Descriptor))
		for j, p := range t.people {
			if j != i {
				t.addOther(s.Person, p, s.Descriptor)
			}
		}
	}
	if i, ok := t.at[s.Not]; ok && s.Not != s.Person {
		refuted = 1
		t.addOther(s.Person, t.people[i], s.Descriptor)
	}
	return known, refuted
}

func (t *tally) addSame(person string, distance float64) {
	t.same = append(t.same, distance)
	t.samePeople[person] = true
}

// addOther compares a look of who, which may be "" for strangers, with another person.
func (t *tally) addOther(who string, other Enrolled, d Descriptor) float64 {
	distance := nearest(other.Descriptors, d)
	t.other = append(t.other, distance)
	t.pairs[[2]string{min(who, other.Person), max(who, other.Person)}] = true
	return distance
}
