package eventloop

import (
	"errors"
	"io"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestWhatManyGoroutinesPostRunsInTheOrderOfEach(t *testing.T) {
	each(t, drivers(), func(t *testing.T, f *fixture) {
		const posters, posts = 8, 3000
		var got [posters][]int
		var all sync.WaitGroup
		for p := range posters {
			all.Go(func() {
				for i := range posts {
					f.loop.Post(func() { got[p] = append(got[p], i) })
				}
			})
		}
		all.Wait()
		f.on(func() {})
		for p := range posters {
			if len(got[p]) != posts || !slices.IsSorted(got[p]) {
				t.Errorf("poster %d: %d functions ran", p, len(got[p]))
			}
		}
	})
}

func TestNoPostIsLeftLyingInAnIdleLoop(t *testing.T) {
	// Each poster waits until its function has run before it posts the next, so that the loop goes idle all the time;
	// one that is overlooked stops its poster for good.
	each(t, drivers(), func(t *testing.T, f *fixture) {
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				ran := make(chan struct{})
				for range 3000 {
					f.loop.Post(func() { ran <- struct{}{} })
					select {
					case <-ran:
					case <-time.After(patience):
						t.Error("a posted function did not run")
						return
					}
				}
			})
		}
		all.Wait()
	})
}

func TestAPostedFunctionMayPost(t *testing.T) {
	each(t, drivers(), func(t *testing.T, f *fixture) {
		done := make(chan struct{})
		n := 0
		var again func()
		again = func() {
			if n++; n == 1000 {
				close(done)
				return
			}
			f.loop.Post(again)
		}
		f.loop.Post(again)
		await(t, done)
	})
}

func TestStopBeforeRunDisposesOfALoop(t *testing.T) {
	for _, w := range drivers() {
		t.Run(w.name, func(t *testing.T) {
			openFiles() // which may open a descriptor that stays
			before := openFiles()
			l, err := w.driver()
			if err != nil {
				t.Fatal(err)
			}
			l.Stop()
			if err := l.Run(); err != nil {
				t.Error(err)
			}
			if err := l.Run(); !errors.Is(err, ErrClosed) {
				t.Errorf("the second Run returned %v", err)
			}
			l.Post(func() { t.Error("a posted function ran after Run") })
			l.Stop()
			if after := openFiles(); after != before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
}

func TestStopInsideALoopEndsItWithTheTurn(t *testing.T) {
	each(t, drivers(), func(t *testing.T, f *fixture) {
		f.serve(newEcho)
		peer := f.peer()
		f.on(f.loop.Stop)
		await(t, f.ran)
		if _, err := io.ReadAll(peer); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the peer read %v", err)
		}
	})
}
