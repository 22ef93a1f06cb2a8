package stay

// Text is a text that may be absent, as "".
func Text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// OrNil is a text as one that may be absent: "" is.
func OrNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
