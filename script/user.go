package script

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
)

// DefaultUserName is the account that programs run under when the configuration names none, where it exists.
const DefaultUserName = "keepalived_script"

// User is the identity of a program.
type User struct {
	// Name is the account's, for messages.
	Name string
	// UID and GID are the program's user and group.
	UID, GID uint32
	// Groups are its supplementary groups. keepalived gives a program its group alone, or with
	// set_supplementary_groups all groups of the account.
	Groups []uint32
}

// UnknownError says that an account or a group does not exist.
type UnknownError struct {
	What string // "user" or "group"
	Name string
}

// Error says so in keepalived's words.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("Script %s '%s' does not exist", e.What, e.Name)
}

// LookupUser returns the identity of an account. An empty group is the account's own. With supplementary it has all
// groups of the account. What does not exist
// is an *UnknownError.
func LookupUser(name, group string, supplementary bool) (*User, error) {
	acct, err := user.Lookup(name)
	if err != nil {
		var unknown user.UnknownUserError
		if errors.As(err, &unknown) {
			return nil, &UnknownError{"user", name}
		}
		return nil, fmt.Errorf("look up user %s: %w", name, err)
	}
	u := &User{Name: name}
	if u.UID, err = number(acct.Uid); err != nil {
		return nil, err
	}
	gid := acct.Gid
	if group != "" {
		g, err := user.LookupGroup(group)
		if err != nil {
			var unknown user.UnknownGroupError
			if errors.As(err, &unknown) {
				return nil, &UnknownError{"group", group}
			}
			return nil, fmt.Errorf("look up group %s: %w", group, err)
		}
		gid = g.Gid
	}
	if u.GID, err = number(gid); err != nil {
		return nil, err
	}
	u.Groups = []uint32{u.GID}
	if supplementary {
		if err := u.addGroups(acct); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// addGroups adds the supplementary groups of the account.
func (u *User) addGroups(acct *user.User) error {
	ids, err := acct.GroupIds()
	if err != nil {
		return fmt.Errorf("groups of %s: %w", acct.Username, err)
	}
	for _, id := range ids {
		g, err := number(id)
		if err != nil {
			return err
		}
		if !slices.Contains(u.Groups, g) {
			u.Groups = append(u.Groups, g)
		}
	}
	return nil
}

// DefaultUser returns the identity of programs for which the configuration names no user: keepalived_script where that
// account exists, else the one this process has, which is nil.
func DefaultUser(supplementary bool) (*User, error) {
	if _, err := user.Lookup(DefaultUserName); err != nil {
		var unknown user.UnknownUserError
		if errors.As(err, &unknown) {
			return nil, nil
		}
		return nil, fmt.Errorf("look up user %s: %w", DefaultUserName, err)
	}
	return LookupUser(DefaultUserName, "", supplementary)
}

func number(id string) (uint32, error) {
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("user or group number %q: %w", id, err)
	}
	return uint32(n), nil
}

// current reports whether this process is u already, so that nothing need be changed, nor could be by all but root.
func (u *User) current() bool {
	if os.Geteuid() == 0 || uint32(os.Geteuid()) != u.UID || uint32(os.Getegid()) != u.GID {
		return false
	}
	mine, err := os.Getgroups()
	if err != nil {
		return false
	}
	for _, g := range u.Groups {
		if g != u.GID && !slices.Contains(mine, int(g)) {
			return false
		}
	}
	return true
}

func (u *User) credential() *syscall.Credential {
	return &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
}

// is reports whether u is a member of the group.
func (u *User) is(gid uint32) bool { return u.GID == gid || slices.Contains(u.Groups, gid) }

// String is the account's name with both numbers, as in "daemon (1:1)".
func (u *User) String() string {
	if u == nil {
		return "the user of dirsw"
	}
	return fmt.Sprintf("%s (%d:%d)", u.Name, u.UID, u.GID)
}
