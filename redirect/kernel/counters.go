//go:build linux

package kernel

import (
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"

	"github.com/outrider-mesh/outrider/redirect"
)

// Counters are the connections that the rules of the table have decided, by the rules'
// comments, which are their reasons. A nat chain sees the first packet of each connection.
// Without the table there are none.
func Counters() (map[string]uint64, error) {
	conn, err := open()
	if err != nil {
		return nil, diagnose("read the redirect rules", err)
	}
	out := map[string]uint64{}
	for _, family := range []nftables.TableFamily{nftables.TableFamilyINet, nftables.TableFamilyIPv4} {
		chains, err := conn.ListChainsOfTableFamily(family)
		if err != nil {
			return nil, diagnose("read the redirect rules", err)
		}
		for _, c := range chains {
			if c.Table.Name != redirect.TableName {
				continue
			}
			rules, err := conn.GetRules(c.Table, c)
			if err != nil {
				return nil, diagnose("read the redirect rules", err)
			}
			for _, r := range rules {
				comment, _ := userdata.GetString(r.UserData, userdata.TypeComment)
				for _, e := range r.Exprs {
					if counter, ok := e.(*expr.Counter); ok {
						out[comment] += counter.Packets
					}
				}
			}
		}
	}
	return out, nil
}
