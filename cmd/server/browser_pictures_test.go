//go:build browser

package main

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
)

// mostScreens is how much of a long page a picture shows, in screens.
const mostScreens = 1.5

// picture writes what the page shows at a width, from its top, as a file of few bytes: pictures are in the repository.
func (b *browser) picture(folder, name string, width int64) {
	b.t.Helper()
	const screen = 900
	b.do(chromedp.EmulateViewport(width, screen))
	height := ask(b, chromedp.Evaluate[int64](`Math.ceil(document.documentElement.scrollHeight)`))
	b.do(chromedp.EmulateViewport(width, min(max(height, screen/2), int64(screen*mostScreens))))
	small, err := fewColors(ask(b, chromedp.CaptureScreenshot()))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), small, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// fewColors encodes a picture again with its 256 most frequent colors: pages have few, and shades of them in letters.
func fewColors(picture []byte) ([]byte, error) {
	from, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		return nil, err
	}
	bounds := from.Bounds()
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(from.At(x, y)).(color.RGBA) }
	counts := map[color.RGBA]int{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[at(x, y)]++
		}
	}
	// the same order for the same picture
	order := slices.SortedFunc(maps.Keys(counts), func(a, b color.RGBA) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return int(a.R)<<16 + int(a.G)<<8 + int(a.B) - int(b.R)<<16 - int(b.G)<<8 - int(b.B)
	})
	palette := make(color.Palette, min(len(order), 256))
	for i := range palette {
		palette[i] = order[i]
	}
	places := map[color.RGBA]uint8{}
	for _, c := range order {
		places[c] = uint8(palette.Index(c))
	}
	to := image.NewPaletted(bounds, palette)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			to.SetColorIndex(x, y, places[at(x, y)])
		}
	}
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, to)
	return out.Bytes(), err
}

// TestFewColors checks that pictures stay what they are.
func TestFewColors(t *testing.T) {
	t.Parallel()
	from := image.NewRGBA(image.Rect(0, 0, 40, 40))
	for i := range 1600 {
		from.Set(i%40, i/40, color.RGBA{uint8(i % 7 * 30), uint8(i / 40), 200, 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, from); err != nil {
		t.Fatal(err)
	}
	small, err := fewColors(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	to, err := png.Decode(bytes.NewReader(small))
	if err != nil || to.Bounds() != from.Bounds() {
		t.Fatalf("%v %v", to, err)
	}
	near := func(a, b uint32) bool { return max(a, b)-min(a, b) <= 4*257 }
	for i := range 1600 {
		r, g, b, _ := from.At(i%40, i/40).RGBA()
		r2, g2, b2, _ := to.At(i%40, i/40).RGBA()
		if !near(r, r2) || !near(g, g2) || !near(b, b2) {
			t.Fatalf("%d,%d is %v, not %v", i%40, i/40, to.At(i%40, i/40), from.At(i%40, i/40))
		}
	}
}
