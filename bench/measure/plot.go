package measure

import (
	"fmt"
	"html"
	"io"
	"math"
	"strconv"
	"strings"
)

// Chart is one of a Plot. With Log its x axis grows by powers of ten; the y axis begins at 0.
type Chart struct {
	Title, X, Y string
	Log         bool
	Series      []Series
}

// Series are points joined by a line, from left to right.
type Series struct {
	Name   string
	Points []Point
}

// Size in pixels of a chart and of what stands around it.
const (
	chartWidth, chartHeight = 520, 340
	left, right, top, foot  = 64, 24, 44, 56
	tickLen                 = 5
	wantedTicks             = 6
)

// colors of series, which can be told apart without colours, too: the dash of each differs.
var colors = [...]struct{ stroke, dash string }{{"#1f6fb2", ""}, {"#c4532b", "6 4"}, {"#3b8a3e", "2 3"}}

// WriteSVG draws charts side by side, as an SVG image (SVG 1.1). Charts without points are left out.
func WriteSVG(w io.Writer, charts []Chart) error {
	var s strings.Builder
	n := 0
	for i := range charts {
		if c := charts[i].axes(); c != nil {
			fmt.Fprintf(&s, "<g transform=\"translate(%d 0)\">\n", n*chartWidth)
			c.draw(&s)
			s.WriteString("</g>\n")
			n++
		}
	}
	_, err := fmt.Fprintf(w, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n"+
		"<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n%s</svg>\n", max(n, 1)*chartWidth, chartHeight, &s)
	return err
}

// axes is a chart with the range of its values.
type axes struct {
	*Chart
	x0, x1 float64 // of the data, or their logarithms
	y1     float64 // the end of the y axis
	step   float64 // of its ticks
}

// axes finds the ranges; nil if there is no point.
func (c *Chart) axes() *axes {
	a := &axes{Chart: c, x0: math.Inf(1), x1: math.Inf(-1)}
	for _, s := range c.Series {
		for _, p := range s.Points {
			a.x0, a.x1, a.y1 = min(a.x0, a.along(p.X)), max(a.x1, a.along(p.X)), max(a.y1, p.Y)
		}
	}
	if a.x0 > a.x1 {
		return nil
	}
	if a.x0 == a.x1 {
		a.x0, a.x1 = a.x0-1, a.x1+1
	}
	a.step = round(max(a.y1, 1e-9) / wantedTicks)
	a.y1 = a.step * math.Ceil(a.y1*1.05/a.step)
	return a
}

// round returns the least of 1, 2, 5 times a power of ten that is not below v.
func round(v float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if v <= m*p*(1+1e-9) {
			return m * p
		}
	}
	return 10 * p
}

func (a *axes) along(x float64) float64 {
	if a.Log {
		return math.Log10(x)
	}
	return x
}

// px and py are where a value lies in the image.
func (a *axes) px(x float64) float64 {
	return left + (a.along(x)-a.x0)/(a.x1-a.x0)*(chartWidth-left-right)
}

func (a *axes) py(y float64) float64 { return chartHeight - foot - y/a.y1*(chartHeight-top-foot) }

func (a *axes) draw(s *strings.Builder) {
	text := func(x, y float64, anchor, more, t string) {
		fmt.Fprintf(s, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>%s</text>\n", x, y, anchor, more, html.EscapeString(t))
	}
	line := func(x0, y0, x1, y1 float64, color string) {
		fmt.Fprintf(s, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x0, y0, x1, y1, color)
	}
	const bottom, end = chartHeight - foot, chartWidth - right
	text((left+end)/2, 20, "middle", " font-weight=\"bold\"", a.Title)
	for i := 0; ; i++ {
		y := float64(i) * a.step
		if y > a.y1*(1+1e-9) {
			break
		}
		line(left, a.py(y), end, a.py(y), "#dddddd")
		text(left-tickLen-2, a.py(y)+4, "end", "", strconv.FormatFloat(y, 'g', 6, 64))
	}
	for _, x := range a.ticks() {
		line(a.px(x), bottom, a.px(x), bottom+tickLen, "black")
		text(a.px(x), bottom+18, "middle", "", grouped(x))
	}
	line(left, bottom, end, bottom, "black")
	line(left, top, left, bottom, "black")
	text((left+end)/2, chartHeight-16, "middle", "", a.X)
	fmt.Fprintf(s, "<text transform=\"translate(16 %d) rotate(-90)\" text-anchor=\"middle\">%s</text>\n", (top+bottom)/2, html.EscapeString(a.Y))
	for i, one := range a.Series {
		if len(one.Points) == 0 {
			continue
		}
		look := colors[i%len(colors)]
		var points strings.Builder
		for _, p := range one.Points {
			fmt.Fprintf(&points, "%.1f,%.1f ", a.px(p.X), a.py(p.Y))
			fmt.Fprintf(s, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", a.px(p.X), a.py(p.Y), look.stroke)
		}
		fmt.Fprintf(s, "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\" stroke-dasharray=\"%s\"/>\n",
			strings.TrimSpace(points.String()), look.stroke, look.dash)
		y := float64(bottom - 14 - 16*i) // the lower part is empty: the y axis begins at 0
		fmt.Fprintf(s, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"2\" stroke-dasharray=\"%s\"/>\n",
			left+10, y, left+38, y, look.stroke, look.dash)
		text(left+44, y+4, "start", "", one.Name)
	}
}

// ticks are the values at the x axis: those of the points.
func (a *axes) ticks() (x []float64) {
	seen := map[float64]bool{}
	for _, s := range a.Series {
		for _, p := range s.Points {
			if !seen[p.X] {
				seen[p.X] = true
				x = append(x, p.X)
			}
		}
	}
	return x
}

// grouped writes a whole number with a blank between thousands.
func grouped(v float64) string {
	s := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}
