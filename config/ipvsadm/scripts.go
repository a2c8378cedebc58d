package ipvsadm

import "strings"

// Script returns the words of the command line that one of ipvsadm's scripts, ipvsadm-save or ipvsadm-restore, stands for;
// name is its name. The error is what the script says of arguments that it does not know.
func Script(name string, args []string) (words []string, err error) {
	if name == "ipvsadm-restore" {
		return []string{"-R", "--replace"}, nil
	}
	words = []string{"-S"}
	for _, a := range args {
		switch {
		case a == "-n":
			words = append(words[:1], a)
		case strings.HasPrefix(a, "-"):
			return nil, &Error{Exit: 1, Message: "ipvsadm-save: Script to save the IPVS table to stdout.\n" +
				"   With the -n option, prints out the table in numeric format."}
		}
	}
	return words, nil
}
