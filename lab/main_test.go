package lab

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"testing"

	"golang.org/x/sys/unix"
)

// testPrefix is in the environment of processes that the tests start, and names their cluster.
const testPrefix = "DIRSW_LAB_TEST_PREFIX"

// TestMain lets the test binary stand for dirsw: started as `… lab …` it is that command.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "lab" {
		ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
		defer stop()
		os.Exit(Main(ctx, os.Args[2:], os.Stdout, os.Stderr, MainOptions{Self: self(), Prefix: os.Getenv(testPrefix)}))
	}
	if len(os.Args) > 1 && os.Getenv(testFake) != "" {
		os.Exit(fake(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// self is the path of the test binary.
func self() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}

// ownPrefix is a prefix that no other lab uses.
func ownPrefix(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("dirswtest%d", os.Getpid())
}
