package egress

import (
	"fmt"
	"strconv"
	"strings"
)

// regexClasses are the names of \p that both Go and the RE2 of Envoy 1.40 have:
// general categories, Any, and scripts of Unicode 15. Go accepts more of them, such
// as Letter, and in any case. A test asks the real Envoy for each name.
var regexClasses = func() map[string]bool {
	const names = "Any C Cc Cf Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs " + `Adlam Ahom Arabic Armenian Avestan Balinese Bamum Batak Bengali Bhaiksuki Bopomofo Brahmi Braille Buginese
Buhid Carian Chakma Cham Cherokee Chorasmian Common Coptic Cuneiform Cypriot Cyrillic Deseret Devanagari Dogra
Duployan Elbasan Elymaic Ethiopic Georgian Glagolitic Gothic Grantha Greek Gujarati Gurmukhi Han Hangul
Hanunoo Hatran Hebrew Hiragana Inherited Javanese Kaithi Kannada Katakana Kawi Kharoshthi Khmer Khojki
Khudawadi Lao Latin Lepcha Limbu Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen
Medefaidrin Miao Modi Mongolian Mro Multani Myanmar Nabataean Nandinagari Newa Nko Nushu Ogham Oriya Osage
Osmanya Palmyrene Phoenician Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham Sinhala Sogdian Soyombo
Sundanese Syriac Tagalog Tagbanwa Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Toto
Ugaritic Vai Vithkuqi Wancho Yezidi Yi`
	all := map[string]bool{}
	for name := range strings.FieldsSeq(names) {
		all[name] = true
	}
	return all
}()

// escapeFault finds an escape of a valid Go expression that Envoy rejects.
func escapeFault(text string) string {
	for i := 0; i+1 < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		i++
		switch rest := text[i+1:]; text[i] {
		case 'Q': // literal text up to \E
			end := strings.Index(rest, `\E`)
			if end < 0 {
				return ""
			}
			i += end + len(`\E`)
		case 'p', 'P':
			if name := className(rest); !regexClasses[name] {
				return fmt.Sprintf("\\%c{%s}: Envoy has no character class of that name", text[i], name)
			}
		case 'x':
			digits, _, braces := strings.Cut(strings.TrimPrefix(rest, "{"), "}")
			if !braces || !strings.HasPrefix(rest, "{") {
				continue // two digits
			}
			if value, err := strconv.ParseUint(digits, 16, 32); err != nil || value > 0xff {
				return fmt.Sprintf("\\x{%s}: Envoy compares bytes, and the value exceeds ff", digits)
			}
		}
	}
	return ""
}

// className is the name of a class after \p: one character, or a name in braces
// that may be negated.
func className(rest string) string {
	if !strings.HasPrefix(rest, "{") {
		return rest[:min(1, len(rest))]
	}
	name, _, _ := strings.Cut(rest[1:], "}")
	return strings.TrimPrefix(name, "^")
}
