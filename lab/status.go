package lab

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// NodeStatus is what is there of a node of a kept cluster.
type NodeStatus struct {
	Spec      NodeSpec // Name only, for the switch
	Namespace string   // its name, for `ip netns exec`
	Present   bool
	Server    string // "listens" or "ended"; empty if it has none of its own
	Inside    []Inhabitant
}

// Status reports on the Named cluster with o's prefix, whole or not; ErrDown if there is none.
func Status(o Options) ([]NodeStatus, error) {
	s, err := loadState(o.prefix())
	if err != nil {
		return nil, err
	}
	var out []NodeStatus
	for i, n := range s.Nodes {
		st := NodeStatus{Spec: NodeSpec{Name: n.Node}, Namespace: namespaceName(s.Prefix, n.Node)}
		if i > 0 {
			st.Spec = s.Spec.Nodes[i-1] // in the order of build
		}
		if ns, err := openNamespace(st.Namespace, n.Inode); err == nil {
			st.Present = true
			ns.Close()
			if st.Inside, err = inhabitants(n.Inode); err != nil {
				return nil, err
			}
		}
		for _, p := range s.Servers {
			if p.Node == n.Node && alive(p.PID, p.Start) {
				st.Server = "listens"
			} else if p.Node == n.Node {
				st.Server = "ended"
			}
		}
		out = append(out, st)
	}
	if !s.Complete {
		return out, ErrPartial
	}
	return out, nil
}

// printStatus writes a table.
func printStatus(w io.Writer, nodes []NodeStatus) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tNAMESPACE\tINTERFACE\tADDRESSES\tHTTP\tPROCESSES")
	for _, n := range nodes {
		name := n.Namespace
		if !n.Present {
			name += " (gone)"
		}
		var addrs []string
		for _, p := range n.Spec.Addrs {
			addrs = append(addrs, p.String())
		}
		for _, p := range n.Spec.VIPs {
			addrs = append(addrs, p.String()+" on lo")
		}
		server := n.Server
		if server != "" {
			server = n.Spec.Page + " " + server
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\n", n.Spec.Name, name, dash(n.Spec.Interface), dash(strings.Join(addrs, ", ")), dash(server), len(n.Inside))
	}
	return t.Flush()
}

// dash stands for what is empty.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
