// Package peers asks the other members of the cluster what only they know, and tells them what they cannot know.
//
// A member is reached at the address that it has published, over the connection that a Redis client would use, and
// proves by the cluster's identity that it is one (PROXY MEMBER). Nobody waits for long: a member that does not answer
// in time is left out, and left alone for a while.
package peers
