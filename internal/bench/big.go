package main

import "context"

func (b *bench) big(ctx context.Context) error { return ctx.Err() }
