package retention

import "context"

// Turn takes a turn if one is due, as Run does.
func (k *Keeper) Turn(ctx context.Context) error { return k.turn(ctx) }
