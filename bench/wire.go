package main

import "context"

// wire measures on interfaces.
func (b *bench) wire(ctx context.Context) error { return nil }
