package manifest

// flow reads a flow collection at pos.
func (p *parser) flow() *node {
	defer func() { p.depth-- }()
	if !p.deeper() {
		return nil
	}
	open := p.s[p.pos]
	n := p.new(sequenceKind, p.pos)
	n.style = flowStyle
	closing := byte(']')
	if open == '{' {
		n.kind, closing = mappingKind, '}'
	}
	p.pos++
	var seen keySet
	for {
		p.flowSpace()
		if p.bad || p.pos >= len(p.s) {
			return p.fail()
		}
		if p.s[p.pos] == closing {
			p.pos++
			n.end = p.pos
			return n
		}
		if !p.flowEntry(n, &seen) {
			return p.fail()
		}
		p.flowSpace()
		if p.bad || p.pos >= len(p.s) {
			return p.fail()
		}
		switch p.s[p.pos] {
		case ',':
			p.pos++
		case closing:
		default:
			return p.fail()
		}
	}
}

// flowEntry reads an item, or a key with its value, into n.
func (p *parser) flowEntry(n *node, seen *keySet) bool {
	if n.kind == sequenceKind {
		item := p.flowNode()
		if item == nil {
			return false
		}
		n.items = append(n.items, item)
		return true
	}
	if c := p.s[p.pos]; c == '[' || c == '{' || c == '*' || c == '&' {
		return false
	}
	key := p.flowScalar(true)
	if key == nil || !p.asKey(key) || !p.newKey(seen, n, key) {
		return false
	}
	line := p.bol
	p.flowSpace()
	if p.bad || p.pos >= len(p.s) || p.s[p.pos] != ':' || p.bol != line && !p.isJSON() {
		return false
	}
	p.pos++
	if key.style != quotedStyle && !p.blank(p.pos) {
		return false
	}
	p.flowSpace()
	if p.bad || p.pos >= len(p.s) {
		return false
	}
	value := p.flowNode()
	if value == nil || key.merge && !p.merges(n, value) {
		return false
	}
	n.items = append(n.items, key, value)
	return true
}

// flowNode reads a value within a flow collection.
func (p *parser) flowNode() *node {
	switch p.s[p.pos] {
	case '[', '{':
		return p.flow()
	case '*':
		return p.alias(true)
	case '&':
		start := p.pos
		name := p.name()
		p.spaces()
		delete(p.anchors, name)
		if p.bad || p.lineEnd(p.pos) || p.s[p.pos] == '&' || p.s[p.pos] == '*' {
			return p.fail()
		}
		n := p.flowNode()
		if n == nil {
			return p.fail()
		}
		n.anchor, n.start = name, start
		if p.anchors == nil {
			p.anchors = map[string]*node{}
		}
		p.anchors[name] = n
		return n
	}
	n := p.flowScalar(false)
	if n == nil || n.style == quotedStyle {
		return n
	}
	t, text, ok := resolvePlain(n.text)
	if !ok {
		return p.fail()
	}
	n.tag, n.text = t, text
	return n
}

// flowScalar reads a quoted or plain scalar within a flow collection. A plain
// one must end on its line.
func (p *parser) flowScalar(key bool) *node {
	if c := p.s[p.pos]; c == '"' || c == '\'' {
		return p.quoted(-1)
	}
	if !plainStart(p.s, p.pos, true) {
		return p.fail()
	}
	n := p.new(scalarKind, p.pos)
	n.end = p.pos
	for i := p.pos; ; i++ {
		if p.lineEnd(i) {
			p.pos = i
			break
		}
		c := p.s[i]
		if c == ',' || c == ']' || c == '}' || c == '#' && p.s[i-1] == ' ' || c == ':' && key && p.blank(i+1) {
			p.pos = i
			break
		}
		if c == '\t' || c == '[' || c == '{' || c == '?' || c == ':' && (i+1 >= len(p.s) || !nameByte(p.s[i+1]) && p.s[i+1] != '/') {
			return p.fail()
		}
		if c != ' ' {
			n.end = i + 1
		}
	}
	n.text = p.s[n.start:n.end]
	return n
}

// flowSpace goes over blanks, line breaks and comments within a flow collection.
func (p *parser) flowSpace() {
	for p.pos < len(p.s) {
		switch c := p.s[p.pos]; c {
		case ' ', '\t', '\r':
			p.pos++
		case '\n':
			p.pos++
			p.bol = p.pos
			if p.marker(p.pos) {
				p.bad = true
				return
			}
		case '#':
			if p.pos > 0 && p.s[p.pos-1] > ' ' {
				p.bad = true
				return
			}
			for p.pos < len(p.s) && p.s[p.pos] != '\n' {
				p.pos++
			}
		default:
			return
		}
	}
}
