package intake

// Waiting is how many events wait for the next commit.
func (a *Acceptor) Waiting() int { return len(a.queue) }
