import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.catalina.Context;
import org.apache.catalina.authenticator.BasicAuthenticator;
import org.apache.catalina.realm.LockOutRealm;
import org.apache.catalina.realm.MemoryRealm;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.util.descriptor.web.LoginConfig;
import org.apache.tomcat.util.descriptor.web.SecurityCollection;
import org.apache.tomcat.util.descriptor.web.SecurityConstraint;

/** A Tomcat that counts ports for users "first" and "second", behind Basic and its LockOutRealm with
 * the defaults: five failures lock an account for five minutes. Argument: a folder. */
public class Server {
    private static final String USERS = "<tomcat-users>"
        + "<user username='first' password='right' roles='services'/>"
        + "<user username='second' password='right' roles='services'/></tomcat-users>";
    private static final String COUNTS =
        "<e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/'><e:Body>"
        + "<QueryResourcesResponse><totalRes_returned>60</totalRes_returned>"
        + "<unusedSIP_returned>40</unusedSIP_returned>"
        + "<unusedH323_returned>20</unusedH323_returned>"
        + "</QueryResourcesResponse></e:Body></e:Envelope>";

    public static void main(String[] given) throws Exception {
        Path users = Files.writeString(Path.of(given[0], "users.xml"), USERS);
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(given[0]);
        tomcat.setPort(0);
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        MemoryRealm known = new MemoryRealm();
        known.setPathname(users.toUri().toString());
        LockOutRealm realm = new LockOutRealm();
        realm.addRealm(known);
        tomcat.getEngine().setRealm(realm);
        Context context = tomcat.addContext("", given[0]);
        protect(context);
        Tomcat.addServlet(context, "counts", new Counts());
        context.addServletMappingDecoded("/", "counts");
        tomcat.start();
        System.out.println("ready " + tomcat.getConnector().getLocalPort());
        System.in.read(); // until the test goes
        System.exit(0);
    }

    private static void protect(Context context) {
        SecurityCollection all = new SecurityCollection();
        all.addPattern("/*");
        SecurityConstraint constraint = new SecurityConstraint();
        constraint.addCollection(all);
        constraint.addAuthRole("services");
        context.addConstraint(constraint);
        context.addSecurityRole("services");
        context.setLoginConfig(new LoginConfig("BASIC", "portal", null, null));
        context.getPipeline().addValve(new BasicAuthenticator());
    }

    /** Counts: JSON for GET, SOAP for POST. */
    static class Counts extends HttpServlet {
        @Override
        protected void doGet(HttpServletRequest asked, HttpServletResponse answer)
                throws IOException {
            answer.setContentType("application/json");
            answer.getWriter().print("{\"total\": 60, \"used\": 20}");
        }

        @Override
        protected void doPost(HttpServletRequest asked, HttpServletResponse answer)
                throws IOException {
            answer.setContentType("text/xml");
            answer.getWriter().print(COUNTS);
        }
    }
}
