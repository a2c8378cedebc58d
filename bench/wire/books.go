package wire

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// books say how long processes have had a processor, switch by switch. The kernel's schedstat is right in sum, not for each of
// two that take turns on a processor: see book in bpf/wire.bpf.c.
type books struct {
	sums *ebpf.Map
	stop link.Link
	p    *ebpf.Program
}

// booksObjects are the program and its maps.
type booksObjects struct {
	Book  *ebpf.Program `ebpf:"book"`
	Books *ebpf.Map     `ebpf:"books"`
}

// openBooks begins to write down what processes use. It needs a kernel that describes its types (CONFIG_DEBUG_INFO_BTF).
func openBooks(pids ...int) (*books, error) {
	var o booksObjects
	if err := loadWireObjects(&o, nil); err != nil {
		return nil, fmt.Errorf("load the books of the processor: %w", err)
	}
	b := &books{sums: o.Books, p: o.Book}
	for _, pid := range pids {
		if err := b.sums.Put(uint32(pid), uint64(0)); err != nil {
			b.close()
			return nil, fmt.Errorf("write down process %d: %w", pid, err)
		}
	}
	l, err := link.AttachTracing(link.TracingOptions{Program: o.Book})
	if err != nil {
		b.close()
		return nil, fmt.Errorf("write down who has the processor: %w", err)
	}
	b.stop = l
	return b, nil
}

// used returns the nanoseconds that processes have had, up to when they were last switched from.
func (b *books) used(pids ...int) (ns int64, err error) {
	for _, pid := range pids {
		var one uint64
		if err := b.sums.Lookup(uint32(pid), &one); err != nil {
			return 0, fmt.Errorf("read the time of process %d: %w", pid, err)
		}
		ns += int64(one)
	}
	return ns, nil
}

// close ends them.
func (b *books) close() {
	if b.stop != nil {
		b.stop.Close()
	}
	b.p.Close()
	b.sums.Close()
}
