package main

import "regexp"

// rule is a phrase that makes our English hard to read, and what to write instead.
type rule struct {
	Phrase  string // what the report calls it
	Instead string
	match   *regexp.Regexp
	allow   *regexp.Regexp // uses that are fine, removed from a text before it is matched; may be nil
}

// say builds a rule: pattern matches whole words, in any case. Allowed are proper uses of the same words.
func say(phrase, instead, pattern string, allowed ...string) rule {
	r := rule{Phrase: phrase, Instead: instead, match: regexp.MustCompile(`(?i)\b(?:` + pattern + `)\b`)}
	for _, a := range allowed { // one is the rule: alternatives are part of it
		r.allow = regexp.MustCompile(`(?i)` + a)
	}
	return r
}

// rules are the phrases that docs, pages, comments, messages and logs must not use. Most are literal translations or
// literary; a few are correct and rare in technical English, and each has a plain word.
var rules = []rule{
	say("behind", "after", `behind`,
		`behind (a|an|the|one|its|your|our|several|any) (\w+ )?(proxy|proxies|load balancer|nat|gateway|firewall)|(left|leaves?|leaving|falls?|fell|clock is) (\w+ ){0,2}behind`),
	say("anew", "again, reloaded, recreated", `anew`),
	say("mend", "fix, repair, correct", `mend(s|ed|ing)?`),
	say("wish", "desired, requested", `wish(es|ed|ing)?`),
	say("story", "history", `story|stories`),
	say("whoever, whatever there is", "a plain noun: the caller, the user", `whoever|whomever`),
	say("is to be", "will be, must be, should be", `(is|are|was|were) (not )?to be`),
	say("is had", "exists, is available", `(is|are|was|were|be|been) had`),
	say("comes to", "results in, totals, reaches", `(come|comes|came|coming) to`),
	say("goes on", "continues, resumes", `(go|goes|went|gone) on`),
	say("by itself", "automatically, on its own, alone", `by (itself|themselves)`),
	say("how it stands", "status, is, as it is",
		`(it|they|that|which|things?|who|what) (stands?|stood)|stands? (in|as|with|beside|under|there|open|alone)`,
		`stands? for`),
	say("told", "reported, notified, informed", `told|tells? of|(is|are|be|was) to tell`),
	say("said", "specified, set, sent, reported", `said`),
	say("that there is", "that exists, unknown", `(that|which|what|than|whatever|as) there (is|are|was|were)`,
		`so that there (is|are)`),
	say("beside", "next to, with, besides", `beside`),
	say("looked after", "checked, handled", `look(s|ed|ing)? after`,
		`look(s|ed|ing)? after (a |an |the |each |every )?(lost|delete|create|call)`),
	say("back-up, set-up", "backup, setup; as verbs: back up, set up", `back-ups?|set-ups?|back-off|time-outs?`),
	say("made up", "generated, invented", `(is|are|be) made up`),
	say("without a word", "without a message, silently", `without a word`),
	say("thereof", "of it", `thereof|therein|thereby|whereof|whereupon|hereby|thereupon|lest|albeit|hence`),
	say("stays as it was", "is unchanged, stays unchanged",
		`(stay|stays|stayed|remain|remains|leave|leaves|left|keep|keeps|kept|is|are|was|were|be) (all )?as (it|they|he|she) (was|were|is|are|had been)|all (is|was) as`),
	say("the matter", "the problem, wrong", `(is|was|be) the matter`),
	say("for ever", "forever", `for ever`),
	say("nobody but", "only", `(nobody|nothing|none|no one) but`),
	say("comes about", "is created, happens", `(come|comes|came) about`),
	say("comes again", "is repeated, arrives again", `(come|comes|came|coming) again|again and again`),
	say("is of another", "belongs to another",
		`(is|are|was|were) of (a|an|another|the|other|one|its|our|their|no|nobody)`,
		`(is|are|was|were) of (no|the) (use|same|kind|form|type)`),
	say("knows no", "doesn't know", `knows? no|(is|are|was|were|be) no more`, `(is|are|was|were|be) no more than`),
	say("the way of", "the path of", `the way of (a|an|the)`),
	say("holds against", "compares with", `(hold|holds|held|holding) \w+( \w+)? against`),
	say("of single sources", "limited to some sources", `of single|single ones`),
	say("torso", "an incomplete one", `torsos?`),
	say("nothing of it", "none of it", `nothing of (it|them|the|this|that|a|an|its|ours)`),
	say("blackened", "redacted", `blacken(s|ed|ing)?`),
	say("what becomes of", "what happens to, changes of", `(become|becomes|became) of`),
	say("tells whether", "reports whether", `tells? (whether|if)|says? whether`),
	say("goes the way", "takes the same path, is handled like", `(go|goes|went|going) the way`),
	say("kept apart", "separate, has its own list", `(listed|counted|kept|shown) apart`),
	say("word for word", "exactly, identical", `word for word`),
	say("got hold of", "has, was shared with", `(get|gets|got) hold of`),
	say("ever more seldom", "at growing intervals", `(ever )?more seldom`),
	say("has sense", "makes sense", `(has|have|had) sense`),
	say("no longer good", "expired, no longer valid", `no longer good`),
	say("by now", "now, since, meanwhile", `by now`),
	say("how it fares", "the state of", `fares?|fared|faring`),
	say("counts no longer", "no longer counts", `counts? no longer`),
	say("tells nothing", "has no information, doesn't show", `tells? nothing`),
	say("nobody's", "unknown, without an owner", `nobody's`),
	say("shall", "will, must, should", `shall`, `shall be included in all`),
	say("gives word", "reports", `(give|gives|gave) word`),
}
