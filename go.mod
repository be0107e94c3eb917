module github.com/understudy/understudy

go 1.26.8
