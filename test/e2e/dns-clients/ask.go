// Asks with Go's own resolver: ask-go host|srv|txt|ptr NAME. Prints what it gets, one a line; exit 1 when that is nothing.
package main

import (
	"fmt"
	"net"
	"os"
)

func main() {
	var lines []string
	var err error
	name := os.Args[2]
	switch os.Args[1] {
	case "host":
		lines, err = net.LookupHost(name)
	case "txt":
		lines, err = net.LookupTXT(name)
	case "ptr":
		lines, err = net.LookupAddr(name)
	case "srv":
		var found []*net.SRV
		_, found, err = net.LookupSRV("", "", name)
		for _, one := range found {
			lines = append(lines, fmt.Sprintf("%d %s", one.Port, one.Target))
		}
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, line := range lines {
		fmt.Println(line)
	}
}
