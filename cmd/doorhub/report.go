package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/doorhub/doorhub/door/face"
)

// green is a colour of a terminal, as the others.
const green = "\x1b[32m"

// lines are what a reader sees of the report.
func (r faceReport) lines(rate float64) []topLine {
	ls := []topLine{{text: fmt.Sprintf("%s with a face, %s enrolled; from cameras: %s that opened with another factor, %d taken back with `face not`",
		counted(r.People, "person", "people"), counted(r.Faces, "look", "looks"), counted(r.Seen, "look", "looks"), r.Refuted)}}
	if r.Compared < r.People {
		ls = append(ls, topLine{text: fmt.Sprintf("%d of the people, drawn at random, were compared with one another", r.Compared)})
	}
	if r.Unread != "" {
		ls = append(ls, topLine{printable(r.Unread), red})
	}
	if r.Genuine.Comparisons+r.Impostor.Comparisons == 0 {
		return append(ls, topLine{text: "nothing to compare yet: enrol two looks at a person, or two people"})
	}
	ls = append(append(ls, r.plots()...), r.table()...)
	ls = append(append(ls, r.zeroes()...), r.adviceLines(rate)...)
	return append(append(ls, r.alikeLines()...), r.weakLines()...)
}

func counted(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// plots are histograms of both kinds of distances over one axis.
func (r faceReport) plots() []topLine {
	var ls []topLine
	add := func(colour string, texts ...string) {
		for _, t := range texts {
			ls = append(ls, topLine{t, colour})
		}
	}
	add("", "")
	add(bold, fmt.Sprintf("Looks at the same person: %s of %s%s", counted(r.Genuine.Comparisons, "distance", "distances"),
		counted(r.Genuine.Units, "person", "people"), r.Genuine.Spread))
	add(green, histogram(r.Genuine.Bins, plotRows)...)
	add(bold, fmt.Sprintf("Looks at somebody else: %s of %s%s", counted(r.Impostor.Comparisons, "distance", "distances"),
		counted(r.Impostor.Units, "pair of people", "pairs of people"), r.Impostor.Spread))
	add(red, histogram(r.Impostor.Bins, plotRows)...)
	add("", axis(len(r.Impostor.Bins))...)
	for _, a := range r.Advice {
		add(faint, fmt.Sprintf("%s▲ house.%s %.2f", strings.Repeat(" ", column(a.Present)), a.Setting, a.Present))
	}
	return ls
}

// String is nothing where there are no distances.
func (f *fiveView) String() string {
	if f == nil {
		return ""
	}
	return fmt.Sprintf("; %.2f to %.2f, half below %.2f, a twentieth below %.2f, a twentieth above %.2f", f.Least, f.Most, f.Median, f.Low, f.High)
}

const plotRows = 4

// histogram draws bars of eighths of a character; the highest fills all rows, and one of any
// height can be seen. Of nothing it draws nothing.
func histogram(bins []int, rows int) []string {
	most := slices.Max(bins)
	if most == 0 {
		return nil
	}
	eighths := []rune(" ▁▂▃▄▅▆▇█")
	var lines []string
	for row := rows - 1; row >= 0; row-- {
		var b strings.Builder
		for _, n := range bins {
			height := int(math.Ceil(float64(n) / float64(most) * float64(rows*8)))
			b.WriteRune(eighths[max(0, min(8, height-row*8))])
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return lines
}

// column is where a distance stands below a histogram.
func column(distance float64) int {
	return min(reportBins-1, int(distance/reportMost*reportBins))
}

// axis marks each fifth of a distance of 1.
func axis(bins int) []string {
	const every = 0.2
	ticks, labels := []rune(strings.Repeat("─", bins)), []rune(strings.Repeat(" ", bins+4))
	for d := 0.0; d < reportMost; d += every {
		at := column(d + every/1000)
		ticks[at] = '┴'
		copy(labels[at:], []rune(fmt.Sprintf("%.1f", d)))
	}
	return []string{string(ticks), strings.TrimRight(string(labels), " ")}
}

// table tells what thresholds do to both kinds of looks.
func (r faceReport) table() []topLine {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "Threshold\tSet as\tOthers taken for the person\tThe person not known")
	for _, t := range r.Thresholds {
		fmt.Fprintf(w, "%.2f\t%s\t%s\t%s\n", t.Threshold, t.Set, rateText(t.FalseMatch), rateText(t.FalseReject))
	}
	_ = w.Flush() // writes to memory
	ls := []topLine{{}}
	for i, text := range strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") {
		l := topLine{text: strings.TrimRight(text, " ")}
		if i == 0 {
			l.colour = bold
		}
		ls = append(ls, l)
	}
	if r.Seen > 0 {
		ls = append(ls, topLine{"Of looks from cameras only those count that opened: the person was perhaps not known in more of them.", faint})
	}
	return append(ls, topLine{"In brackets: where the rate lies with 95 % confidence (Clopper-Pearson), counting each person, and each pair of people, once.", faint})
}

func rateText(r face.Rate) string {
	if r.Of == 0 {
		return "nobody knows"
	}
	return fmt.Sprintf("%d of %d = %s (%s to %s)", r.Events, r.Of, percent(r.Share), percent(r.Within.Low), percent(r.Within.High))
}

// percent has two digits that count, and no exponent.
func percent(share float64) string {
	p := share * 100
	if p >= 10 {
		return fmt.Sprintf("%.0f %%", p)
	}
	p, _ = strconv.ParseFloat(strconv.FormatFloat(p, 'e', 1, 64), 64)
	return strconv.FormatFloat(p, 'f', -1, 64) + " %"
}

// zeroes says plainly what no error at all among few tells.
func (r faceReport) zeroes() []topLine {
	var at []string
	n := r.Impostor.Units
	for _, t := range r.Thresholds {
		if t.Set != "" && n > 0 && t.FalseMatch.Events == 0 {
			at = append(at, fmt.Sprintf("%.2f", t.Threshold))
		}
	}
	if len(at) == 0 {
		return nil
	}
	if n <= 3 {
		return []topLine{{text: fmt.Sprintf("At %s nobody was taken for another, but so few people (%s) tell next to nothing.", strings.Join(at, " and "), counted(n, "pair", "pairs of people"))}}
	}
	return []topLine{{text: fmt.Sprintf("At %s nobody was taken for another, which does not mean never: by the rule of three, up to 3 in %s (%s) may be.",
		strings.Join(at, " and "), counted(n, "pair", "pairs of people"), percent(min(1, 3/float64(n))))}}
}

func (r faceReport) adviceLines(rate float64) []topLine {
	ls := []topLine{{}, {fmt.Sprintf("Thresholds for one false match in %s looks at others", inverse(rate)), bold}}
	for _, a := range r.Advice {
		ls = append(ls, topLine{text: a.head()})
		if a.Setting == "identify" && a.Rate < rate {
			ls = append(ls, topLine{text: fmt.Sprintf("  a face that nobody claimed is compared with all %d people, each at 1 in %s", r.People, inverse(a.Rate))})
		}
		for _, text := range a.because() {
			ls = append(ls, topLine{text: "  " + text})
		}
		if a.Threshold > 0 && a.FalseReject.Of > 0 {
			ls = append(ls, topLine{text: "  the person is not known in " + rateText(a.FalseReject)})
		}
	}
	return ls
}

func (a adviceView) head() string {
	switch a.Threshold {
	case 0:
		return fmt.Sprintf("house.%s: none; some people here cannot be told apart so well (set is %.2f)", a.Setting, a.Present)
	case a.Present:
		return fmt.Sprintf("house.%s: %.2f, as it is", a.Setting, a.Present)
	}
	return fmt.Sprintf("house.%s: %.2f (set is %.2f)", a.Setting, a.Threshold, a.Present)
}

// because says what the advice is worth.
func (a adviceView) because() []string {
	pairs, speak := counted(a.FalseMatch.Units, "pair of people", "pairs of people"), "speak"
	if a.FalseMatch.Units == 1 {
		speak = "speaks"
	}
	if a.Basis == face.Counted {
		return []string{"supported by the data: " + pairs}
	}
	how := "no looser than it is, and below the nearest two people"
	if a.Basis == face.Estimated {
		how = "estimated by a normal distribution through the distances; " + how
	}
	return []string{fmt.Sprintf("NOT supported by the data: %s without an error %s for 1 in %s at best; 1 in %s takes those of %d people",
		pairs, speak, inverse(a.Supported), inverse(a.Rate), peopleFor(a.Rate)), how}
}

// inverse is a rate as the number of looks of which it is one.
func inverse(rate float64) string {
	if rate > 0.01 {
		return fmt.Sprintf("%.3g", 1/rate)
	}
	digits := math.Pow(10, math.Floor(math.Log10(1/rate))-2) // three of them count
	return fmt.Sprintf("%.0f", math.Round(1/rate/digits)*digits)
}

// peopleFor is how many people have as many pairs as must be without an error, by the rule of
// three, to speak for a rate.
func peopleFor(rate float64) int {
	pairs := 3 / rate
	return int(math.Ceil((1 + math.Sqrt(1+8*pairs)) / 2))
}

// mostAlike is how many pairs are listed for a reader; JSON has them all.
const mostAlike = 20

func (r faceReport) alikeLines() []topLine {
	if len(r.Alike) == 0 {
		return nil
	}
	ls := []topLine{{}, {"Look-alikes: let each come in by a second factor, as pin+face, and set both thresholds below their distance", bold}}
	for _, a := range r.Alike[:min(len(r.Alike), mostAlike)] {
		l := topLine{text: fmt.Sprintf("%.2f  %s and %s", a.Distance, a.People[0], a.People[1])}
		var below []string
		for _, t := range r.Advice {
			if a.Distance < t.Present {
				below = append(below, "house."+t.Setting)
			}
		}
		if len(below) > 0 {
			l.text += ": nearer than " + strings.Join(below, " and ")
			l.colour = red
		}
		ls = append(ls, l)
	}
	if more := len(r.Alike) - mostAlike; more > 0 {
		ls = append(ls, topLine{text: fmt.Sprintf("and %d more pairs: --json lists them", more)})
	}
	return ls
}

func (w whoView) String() string { return printable(w.Name) + " (" + w.ID + ")" }

func (r faceReport) weakLines() []topLine {
	if len(r.Weak) == 0 {
		return nil
	}
	ls := []topLine{{}, {"Weak enrolments: add looks with doorhub people enrol NAME --camera DOOR, or --pictures FILE…", bold}}
	for _, w := range r.Weak {
		var why []string
		for _, reason := range w.Why {
			switch reason {
			case face.FewFaces:
				why = append(why, fmt.Sprintf("%s only: three tell a person better", counted(w.Faces, "look", "looks")))
			case face.WideSpread:
				why = append(why, fmt.Sprintf("one look is %.2f from all others: is it of the same person? doorhub people forget %s --faces, and enrol anew", w.Spread, w.Person))
			case face.LowQuality:
				why = append(why, fmt.Sprintf("looks of low quality (%.2f of 1): small, blurred, dark or turned away", w.Quality))
			}
		}
		ls = append(ls, topLine{text: whoView{w.Person, w.Name}.String() + ": " + strings.Join(why, "; ")})
	}
	return ls
}
