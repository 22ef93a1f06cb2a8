package migrations

// NewProvider applies all migrations, those in Go included.
var NewProvider = newProvider
