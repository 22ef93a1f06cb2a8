package stay

// Text returns a text that may be absent: "" for nil.
func Text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// OrNil returns a text as one that may be absent: nil for "".
func OrNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
