package writeback_test

import (
	"os"
	"testing"

	"github.com/staykey/staykey/internal/store/storetest"
)

// TestMain has tests keep their databases for each other.
func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }
