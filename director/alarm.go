package director

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"dirsw/config"
	"dirsw/notify"
)

// alarmTime is how long a split_brain_script may take.
const alarmTime = 30 * time.Second

// alarms are those that wait until the split_brain_script of their instance has ended, in the order in which they came.
type alarms struct {
	mu      sync.Mutex
	waiting map[string][]alarm // by instance; one that is there has its script running
}

// alarm is what the script is told: what is the matter, and who the other one is.
type alarm struct{ what, who string }

// add takes an alarm in, in the place of one that waits and tells of the same. It reports whether nobody runs the script.
func (a *alarms) add(instance string, new alarm) (begin bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting == nil {
		a.waiting = map[string][]alarm{}
	}
	list, busy := a.waiting[instance]
	list = slices.DeleteFunc(list, func(old alarm) bool { return old.what == new.what })
	a.waiting[instance] = append(list, new)
	return !busy
}

// next takes the oldest alarm out; without one nobody runs the script any more.
func (a *alarms) next(instance string) (next alarm, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.waiting[instance]
	if len(list) == 0 {
		delete(a.waiting, instance)
		return next, false
	}
	a.waiting[instance] = list[1:]
	return list[0], true
}

// alarmSplit runs the split_brain_script of an instance, with the name of the instance, what is the matter, and who the other
// one is. While it runs, further alarms of the instance wait.
func (d *Director) alarmSplit(name, what, who string) {
	if _, in := d.splitScript(name); in == nil || in.SplitBrainScript.IsZero() || !d.alarms.add(name, alarm{what, who}) {
		return
	}
	go func() {
		for {
			a, ok := d.alarms.next(name)
			if !ok {
				return
			}
			d.sound(name, a)
		}
	}()
}

// splitScript finds an instance of the configuration in force.
func (d *Director) splitScript(name string) (*config.Model, *config.Instance) {
	now := d.now.Load()
	if now == nil {
		return nil, nil
	}
	i := slices.IndexFunc(now.wanted.Instances, func(in config.Instance) bool { return in.Name == name })
	if i < 0 {
		return nil, nil
	}
	return now.wanted, &now.wanted.Instances[i]
}

// sound runs the script once.
func (d *Director) sound(name string, a alarm) {
	m, in := d.splitScript(name)
	if in == nil || in.SplitBrainScript.IsZero() {
		return
	}
	program, err := newPrograms(&m.Globals.Scripts).command(&in.SplitBrainScript, alarmTime)
	if err == nil {
		err = d.notifier.Once(context.Background(), "split_brain", program.With(name, a.what, a.who))
	}
	if err != nil && !errors.Is(err, notify.ErrOnce) { // which the notifier has told
		d.o.Log.Warn("the split_brain_script cannot be run", zap.String("instance", name), zap.Error(err))
	}
}
