// A program in Go for the sandbox: sums the second column of every file in /in, a goroutine for each, and makes work for the collector.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	entries, err := os.ReadDir("/in")
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	var wait sync.WaitGroup
	var lock sync.Mutex
	total := 0
	for _, entry := range entries {
		wait.Add(1)
		go func(name string) {
			defer wait.Done()
			file, err := os.Open("/in/" + name)
			if err != nil {
				panic(err)
			}
			defer file.Close()
			sum := 0
			for lines := bufio.NewScanner(file); lines.Scan(); {
				for _, word := range strings.Fields(lines.Text()) {
					if value, err := strconv.Atoi(word); err == nil {
						sum += value
					}
				}
			}
			time.Sleep(20 * time.Millisecond)
			lock.Lock()
			total += sum
			lock.Unlock()
		}(entry.Name())
	}
	wait.Wait()
	for i := 0; i < 50; i++ {
		_ = make([]byte, 1<<20)
	}
	runtime.GC()
	fmt.Println(len(entries), "files,", runtime.NumCPU(), "processors")
	if err := os.WriteFile("/out/sum", []byte(fmt.Sprintln(total)), 0o644); err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
}
