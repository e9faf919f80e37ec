#!/bin/sh
# Draws what a command prints as a picture of a terminal: draw.sh FILE.svg COMMAND…
# No face is in it: it is text. `make picture` draws the README's.
set -eu
file=$1
shift
text=$(mktemp)
trap 'rm -f "$text"' EXIT
"$@" </dev/null >"$text"
sed 's/\x1b\[[0-9;]*m//g; s/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g; s#/tmp/doorhub-demo-[0-9]*#/tmp/doorhub-demo#' "$text" | awk -v prompt="$ make run ONCE=1" '
	BEGIN { lines[++n] = prompt }
	{ lines[++n] = $0 }
	END {
		for (i = 1; i <= n; i++) if (length(lines[i]) > wide) wide = length(lines[i])
		w = int(wide * 7.8) + 40; h = n * 18 + 40
		printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" font-family=\"ui-monospace,Menlo,DejaVu Sans Mono,monospace\" font-size=\"13\">\n", w, h, w, h
		printf "<rect width=\"100%%\" height=\"100%%\" rx=\"8\" fill=\"#16191f\"/>\n"
		for (i = 1; i <= n; i++) {
			colour = "#d7dae0"
			if (lines[i] ~ /^    .*(denied|intrusion|forced|lockout)/ || lines[i] ~ /Intrusion$/) colour = "#ff8a80"
			else if (lines[i] ~ /^    .*(granted|entry|exit)/ || lines[i] ~ /(Entry|Exit)$/) colour = "#8ce99a"
			else if (lines[i] ~ /^    /) colour = "#8f98a8"
			if (i == 1) colour = "#74c0fc"
			printf "<text x=\"20\" y=\"%d\" fill=\"%s\" xml:space=\"preserve\">%s</text>\n", i * 18 + 16, colour, lines[i]
		}
		print "</svg>"
	}' >"$file.new"
mv "$file.new" "$file"
