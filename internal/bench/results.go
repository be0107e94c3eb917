package main

import "slices"

// sample is one measurement of one target under one load.
type sample struct {
	perSecond float64 // requests
	cpu       float64 // of the proxy, microseconds per request
	p50, p99  float64 // ms
}

// cell is where a load and a target meet.
type cell struct{ load, target string }

// results are all samples, in the order of the rounds.
type results struct {
	loads   []string
	targets []string
	samples map[cell][]sample
}

func newResults(loads []load, targets []*target) *results {
	r := &results{samples: map[cell][]sample{}}
	for _, l := range loads {
		r.loads = append(r.loads, l.name)
	}
	for _, t := range targets {
		r.targets = append(r.targets, t.name)
	}
	return r
}

func (r *results) add(load, target string, s sample) {
	at := cell{load, target}
	r.samples[at] = append(r.samples[at], s)
}

// figure picks one figure of a sample.
type figure func(sample) float64

func perSecond(s sample) float64 { return s.perSecond }
func cpu(s sample) float64       { return s.cpu }
func p50(s sample) float64       { return s.p50 }
func p99(s sample) float64       { return s.p99 }

// spread is the median of the samples' figures, and the least and the greatest of them. ok is false when there are none.
func (r *results) spread(load, target string, f figure) (median, least, most float64, ok bool) {
	var values []float64
	for _, s := range r.samples[cell{load, target}] {
		values = append(values, f(s))
	}
	n := len(values)
	if n == 0 {
		return 0, 0, 0, false
	}
	slices.Sort(values)
	return (values[(n-1)/2] + values[n/2]) / 2, values[0], values[n-1], true
}

// ratio is Understudy's median over another target's median.
func (r *results) ratio(load, other string, f figure) (float64, bool) {
	ours, _, _, ok := r.spread(load, understudy, f)
	theirs, _, _, known := r.spread(load, other, f)
	if !ok || !known || theirs == 0 {
		return 0, false
	}
	return ours / theirs, true
}
