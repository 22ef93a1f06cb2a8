package provisioner_test

import (
	"os"
	"testing"

	"github.com/staykey/staykey/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }
