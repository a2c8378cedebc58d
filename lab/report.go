package lab

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// report prints what the demonstration does and sees, and counts what is not so.
type report struct {
	w      io.Writer
	slack  time.Duration // that may be added to every time that is measured
	step   int
	checks int
	failed []string // "step: check" of each that is not so
}

// begin starts the next step.
func (r *report) begin(title string) {
	r.step++
	fmt.Fprintf(r.w, "\n%d. %s\n", r.step, title)
}

// did says what was done.
func (r *report) did(format string, args ...any) { r.line("did", fmt.Sprintf(format, args...)) }

// saw says what was seen; text may have several lines.
func (r *report) saw(format string, args ...any) { r.line("saw", fmt.Sprintf(format, args...)) }

// check says whether something is as it must be, and returns that.
func (r *report) check(ok bool, format string, args ...any) bool {
	r.checks++
	what := fmt.Sprintf(format, args...)
	if ok {
		r.line("OK", what)
		return true
	}
	r.failed = append(r.failed, fmt.Sprintf("%d: %s", r.step, what))
	r.line("FAILED", what)
	return false
}

// slackEnv is in the environment on machines that do other work at the same time: what is added to every limit of a time
// that is measured. Without it the limits are those of the configuration, and a machine that stands still fails.
const slackEnv = "DIRSW_LAB_SLACK"

// slackOf reads the value of slackEnv.
func slackOf(value string) (time.Duration, error) {
	if value == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(value)
	if err == nil && d < 0 {
		err = fmt.Errorf("%v is less than nothing", d)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", slackEnv, err)
	}
	return d, nil
}

// within is check for a time that was measured.
func (r *report) within(took, most time.Duration, format string, args ...any) bool {
	if took > most && took <= most+r.slack {
		r.saw("%.2f s later than it should be on a machine with nothing else to do (%s)", (took - most).Seconds(), slackEnv)
		return true
	}
	return r.check(took <= most, format, args...)
}

// must is check for a thing that was tried: err says what happened instead.
func (r *report) must(err error, format string, args ...any) bool {
	if err != nil {
		r.saw("%v", err)
	}
	r.check(err == nil, format, args...)
	return err == nil
}

// line prints text with its kind beside its first line.
func (r *report) line(kind, text string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		fmt.Fprintf(r.w, "   %-6s %s\n", kind, strings.TrimRight(line, "\n"))
		kind = ""
	}
}

// result is the last word, and the error if something is not so.
func (r *report) result() error {
	if len(r.failed) == 0 {
		fmt.Fprintf(r.w, "\nAll %d checks of %d steps OK.\n", r.checks, r.step)
		return nil
	}
	fmt.Fprintf(r.w, "\nFAILED: %d of %d checks\n", len(r.failed), r.checks)
	for _, f := range r.failed {
		fmt.Fprintf(r.w, "   %s\n", f)
	}
	return fmt.Errorf("%d of %d checks failed", len(r.failed), r.checks)
}
