module github.com/understudy/understudy

go 1.26.8

require (
	github.com/gomodule/redigo v1.9.3 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
